// Package export writes rows of the explorer's lists for programs that read
// tables: as CSV and as lines of JSON, and with its subpackage as parquet. A row
// is a pointer to one of the structs that the API answers with; [ColumnsOf] flattens
// its fields, so every form has the same columns, in the same order, and says the
// same as the API's JSON. Writers hold one row at a time.
//
// # Columns
//
// A column is named by the JSON keys that lead to it, joined by underscores:
// renew_count. Amounts are decimal strings of attoPDR, since no column type of
// these forms holds 128 bits. Lists are JSON in one cell. What the JSON leaves out
// is null: nothing between the commas of CSV.
//
// A cell of CSV that a spreadsheet would take for a formula has a single quote
// before it; other forms are exact.
package export
