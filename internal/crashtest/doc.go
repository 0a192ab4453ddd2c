// Package crashtest kills the token service at named points of login, refresh and logout, and checks what its clients
// find when it is back:
//
//	login    a client that got tokens can use them; one that got no answer can log in again
//	refresh  a client that got no answer presents its old token again and gets a live one; nobody is stranded
//	logout   an answer 200 means that the session is refused for ever; one that got no answer can ask again
//
// Each of the three stores is real. The service is a process of its own, this test program started again, and dies by SIGKILL: nothing is closed, flushed
// or said farewell to. A point is before, in the middle of, or after a step that the service takes outside its own
// memory: each operation of the store, the wait for the edges, and each part of the answer.
package crashtest
