// Package page is the explorer's web page: what the API tells programs, for
// people.
//
// Go's html/template renders it on the node. It is embedded in the binary, asks
// nobody outside, and reads without JavaScript; small scripts switch the theme,
// suggest what to search for, renew what is live, verify proofs and copy exact
// values. All it knows comes from the API's own functions (Source.Call), so page and API cannot differ, and an error
// of the API is a page with the same status.
//
// # How a page is made
//
// Each route is a function from a visit to a document: a title and sections
// (figures, facts, a table, a chart, a form, the content of a message). Sections
// hold values: a text for people beside the exact value, which stands in the
// markup for hovering, copying and programs. One set of templates draws all
// documents; so all tables have captions and scopes and turn into cards on a
// phone. No text of the chain ever becomes markup: only templates write markup.
//
// The content security policy allows scripts and styles from files of the page
// itself and nothing else: there is no style or event attribute anywhere.
package page
