// Package storetest is the conformance suite of session stores: what every backend must do, told as tests.
//
// A backend calls [Run] with a function that opens an empty store, and [RunDurable] with one that opens the store
// that a name stands for, again and again.
package storetest
