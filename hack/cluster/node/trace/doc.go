// Package trace lists what a node could leave on a machine, so that a test can compare before and after.
//
// It looks at the whole machine but only for things of the kinds that a node makes: other programs come and go.
package trace
