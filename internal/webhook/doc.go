// Package webhook asks other people's servers, and bounds what they can do to us.
//
//	question ──▶ a free slot? ──▶ breaker closed? ──▶ POST, JSON, bounded time and size, no redirect ──▶ Answer
//	               │ no             │ no                        ▲
//	               ▼                ▼                           └ Files: token, ca.crt, tls.crt, tls.key of today
//	             Busy           Unavailable
//
// [Files] are the credentials in a directory; they are looked at again once a second. [Guard] bounds how many questions
// wait for one server, and stops asking one that fails. [Endpoint] is one URL behind both. What an answer means is the
// caller's to say; its errors are the caller's own.
package webhook
