// Package plugin is what `kubectl keyturn` does, without its flags: it asks the API server, and draws the answer.
//
//	cmd/kubectl-keyturn ── flags ──▶ Session ──▶ client ──▶ objects ──▶ report ──▶ text
//	                                                (API access)        (pure)     (pure)
//
// A report is a value made of objects and a time: it is what `-o json` and `-o yaml` print. The text for people is a
// pure function of a report, a [Screen] and a time, so that golden files hold every line of it. Nothing here reads a
// clock or the environment but [DetectScreen] and the caller.
//
// Reading needs no right to Secrets, because the status of a SigningKeySet repeats the ring without its keys. Two things
// do need it: `keys --live`, which reads the ring itself, and `user`, which edits a list of password hashes. Neither a
// hash nor a password is ever printed.
//
// Text that comes from the cluster is printed with its control characters replaced: a name cannot steer a terminal.
package plugin
