// Package view gives what a client returns the JSON form in which the commands show
// it. The fields are part of the command line's interface: amounts are decimal strings
// of attoPDR, miners stand as t01000, heights and counts are numbers.
package view
