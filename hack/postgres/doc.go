// Package postgres runs a real PostgreSQL for tests: found, initialised, started, stopped, killed and paused.
//
//	Find ──▶ postgres, initdb ──▶ Start(options) ──▶ a server on a free loopback port, with a password
//
// PostgreSQL refuses to run as root, so root runs it as the user nobody. It cannot outlive the test process. Its data
// directory is a temporary one and goes with Stop.
package postgres
