// Package storetest is the conformance suite of session stores: what every backend must do, told as tests.
//
// A backend calls [Run] with a function that opens an empty store, [RunDurable] with one that opens the store that a
// name stands for, again and again, and, where several token services share a store, [RunShared] with one that opens it
// for each of them. A store may begin with one entry that distrusts whatever was before it, and with any number; an open
// function returns stores that answer. Races run a tenth of their rounds, and all with KEYTURN_SOAK=1.
package storetest
