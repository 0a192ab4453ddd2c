package tokenhttp

// The table of the rollout: stage × cohort × credential × validity at login, refresh, exchange and logout. Each line is a
// request of alice and its answer:
//
//	status, code or token_type, and what happened to the cookies: sid and tokens, set (+) or taken away (-)
//
// stage: migrating, deprecated, sunset. cohort: in, out. issuer (of legacy sessions): up, down, none. session, beside the
// token or alone: none, live, expired, ended (by a logout here), other (a live one of bob), twice (two cookies), down
// (nobody can tell). "dual" stands for dualIssue.
const loginTable = `
# stage     cohort issuer dual delivery session | want
migrating   out    up     -    body     none    | 200 session sid+ tokens-
migrating   out    up     -    cookie   none    | 200 session sid+ tokens-
migrating   out    up     dual body     none    | 200 session sid+ tokens-
migrating   out    up     -    cookie   live    | 200 session sid+ tokens-
migrating   out    up     -    cookie   other   | 200 session sid+ tokens-
migrating   out    down   -    body     none    | 503 legacy_unavailable
migrating   out    down   -    cookie   live    | 503 legacy_unavailable
migrating   out    none   -    body     none    | 200 Bearer
migrating   out    none   -    cookie   none    | 200 cookie tokens+
migrating   out    none   -    cookie   other   | 200 cookie sid- tokens+
migrating   in     up     -    body     none    | 200 Bearer
migrating   in     up     -    cookie   none    | 200 cookie tokens+
migrating   in     up     -    cookie   live    | 200 cookie tokens+
migrating   in     up     -    cookie   other   | 200 cookie sid- tokens+
migrating   in     up     -    cookie   expired | 200 cookie sid- tokens+
migrating   in     up     -    cookie   down    | 200 cookie tokens+
migrating   in     up     dual body     none    | 200 Bearer sid+
migrating   in     up     dual cookie   none    | 200 cookie sid+ tokens+
migrating   in     up     dual cookie   other   | 200 cookie sid+ tokens+
migrating   in     down   dual cookie   none    | 200 cookie tokens+
migrating   in     none   dual cookie   none    | 200 cookie tokens+
migrating   in     down   -    body     none    | 200 Bearer
deprecated  out    up     -    body     none    | 200 Bearer
deprecated  out    up     dual cookie   none    | 200 cookie tokens+
deprecated  out    down   -    cookie   none    | 200 cookie tokens+
deprecated  in     up     dual cookie   live    | 200 cookie tokens+
sunset      out    up     dual cookie   none    | 200 cookie tokens+
sunset      out    down   -    body     none    | 200 Bearer
sunset      in     up     -    cookie   other   | 200 cookie tokens+
`

const refreshTable = `
# stage     cohort issuer dual token   session | want
migrating   out    up     -    body     none    | 200 Bearer
migrating   out    up     -    body     live    | 200 Bearer
migrating   out    up     -    cookie   none    | 200 cookie tokens+
migrating   out    up     -    cookie   live    | 200 session sid+ tokens-
migrating   out    up     dual cookie   live    | 200 session sid+ tokens-
migrating   out    up     -    cookie   expired | 200 cookie tokens+
migrating   out    up     -    cookie   ended   | 200 cookie tokens+
migrating   out    up     -    cookie   twice   | 200 cookie tokens+
migrating   out    up     -    cookie   down    | 200 cookie tokens+
migrating   out    down   -    cookie   live    | 200 cookie tokens+
migrating   out    none   -    cookie   live    | 200 session tokens-
migrating   out    none   -    cookie   short   | 200 cookie tokens+
migrating   out    up     -    cookie   other   | 403 conflicting_credentials
migrating   out    up     -    body     other   | 403 conflicting_credentials
migrating   out    up     -    retried  live    | 200 session sid+ tokens-
migrating   out    up     -    retried  none    | 200 cookie tokens+
migrating   out    up     -    late     none    | 401 refresh_token_reused tokens-
migrating   out    up     -    late     live    | 200 session tokens-
migrating   out    up     -    revoked  none    | 401 session_revoked tokens-
migrating   out    up     -    revoked  live    | 200 session tokens-
migrating   out    up     -    revoked  ended   | 401 session_revoked tokens-
migrating   out    up     -    revoked  other   | 200 session tokens-
migrating   out    up     -    expired  none    | 401 refresh_token_expired tokens-
migrating   out    up     -    expired  live    | 200 session tokens-
migrating   out    up     -    expired  down    | 503 legacy_unavailable
migrating   in     up     -    revoked  down    | 503 legacy_unavailable
deprecated  out    up     -    unknown  down    | 503 legacy_unavailable
sunset      out    up     -    expired  down    | 401 refresh_token_expired tokens-
migrating   out    up     -    unknown  none    | 401 refresh_token_invalid tokens-
migrating   out    up     -    unknown  live    | 200 session tokens-
migrating   in     up     -    body     none    | 200 Bearer
migrating   in     up     -    body     live    | 200 Bearer
migrating   in     up     -    cookie   none    | 200 cookie tokens+
migrating   in     up     -    cookie   live    | 200 cookie tokens+
migrating   in     up     dual cookie   none    | 200 cookie tokens+
migrating   in     up     dual cookie   live    | 200 cookie sid+ tokens+
migrating   in     up     dual body     live    | 200 Bearer
migrating   in     down   dual cookie   live    | 200 cookie tokens+
migrating   in     none   dual cookie   live    | 200 cookie tokens+
migrating   in     up     dual cookie   expired | 200 cookie tokens+
migrating   in     up     dual cookie   down    | 200 cookie tokens+
migrating   in     up     -    cookie   other   | 403 conflicting_credentials
migrating   in     up     -    late     live    | 200 cookie tokens+
migrating   in     up     -    revoked  live    | 200 cookie tokens+
migrating   in     up     -    revoked  expired | 401 session_revoked tokens-
migrating   in     up     -    expired  live    | 200 cookie tokens+
deprecated  out    up     -    cookie   live    | 200 cookie tokens+
deprecated  out    up     -    body     none    | 200 Bearer
deprecated  in     up     dual cookie   live    | 200 cookie tokens+
deprecated  out    up     -    cookie   other   | 403 conflicting_credentials
deprecated  out    up     -    revoked  live    | 200 cookie tokens+ announced
sunset      out    up     -    cookie   live    | 200 cookie tokens+
sunset      out    up     -    cookie   other   | 200 cookie tokens+
sunset      out    up     -    body     none    | 200 Bearer
sunset      in     up     dual cookie   live    | 200 cookie tokens+
sunset      out    up     -    revoked  live    | 401 session_revoked tokens-
migrating   out    up     -    none     live    | 200 session
migrating   out    none   -    none     live    | 200 session
migrating   out    up     -    none     none    | 401 no_credential
migrating   out    up     -    none     expired | 401 legacy_session_invalid
migrating   out    up     -    none     ended   | 401 legacy_session_invalid
migrating   out    up     -    none     twice   | 400 invalid_request
migrating   out    up     -    none     down    | 503 legacy_unavailable
migrating   in     up     -    none     live    | 200 cookie tokens+
migrating   in     down   dual none     live    | 200 cookie tokens+
migrating   in     up     -    none     expired | 401 legacy_session_invalid
migrating   in     up     -    none     none    | 401 no_credential
deprecated  out    up     -    none     live    | 200 cookie tokens+ announced
deprecated  in     none   -    none     live    | 200 cookie tokens+ announced
deprecated  out    up     -    none     expired | 401 legacy_session_invalid
sunset      out    up     -    none     live    | 401 legacy_session_sunset
sunset      in     up     -    none     twice   | 401 legacy_session_sunset
sunset      out    up     -    none     none    | 401 no_credential
`

const exchangeTable = `
# stage     cohort issuer dual token   session | want
migrating   out    up     -    none     live    | 200 session
migrating   out    up     -    none     none    | 401 no_credential
migrating   out    up     -    none     expired | 401 legacy_session_invalid
migrating   out    up     -    none     ended   | 401 legacy_session_invalid
migrating   out    up     -    none     twice   | 400 invalid_request
migrating   out    up     -    none     down    | 503 legacy_unavailable
migrating   out    up     -    cookie   live    | 200 session
migrating   out    up     -    cookie   other   | 403 conflicting_credentials
migrating   in     up     -    none     live    | 200 cookie tokens+
migrating   in     none   -    none     live    | 200 cookie tokens+
migrating   in     down   dual none     live    | 200 cookie tokens+
migrating   in     up     -    none     none    | 401 no_credential
migrating   in     up     -    none     expired | 401 legacy_session_invalid
migrating   in     up     -    none     ended   | 401 legacy_session_invalid
migrating   in     up     -    none     twice   | 400 invalid_request
migrating   in     up     -    none     down    | 503 legacy_unavailable
migrating   in     up     -    cookie   live    | 200 cookie tokens+
migrating   in     up     -    revoked  live    | 200 cookie tokens+
migrating   in     up     -    cookie   other   | 403 conflicting_credentials
migrating   in     up     -    revoked  other   | 200 cookie tokens+
migrating   in     up     -    unknown  other   | 200 cookie tokens+
deprecated  out    up     -    none     live    | 200 cookie tokens+ announced
deprecated  in     up     -    none     live    | 200 cookie tokens+ announced
deprecated  out    up     -    none     expired | 401 legacy_session_invalid
deprecated  out    up     -    none     down    | 503 legacy_unavailable
deprecated  out    up     -    cookie   other   | 403 conflicting_credentials
sunset      out    up     -    none     live    | 401 legacy_session_sunset
sunset      in     up     -    none     live    | 401 legacy_session_sunset
sunset      in     up     -    none     down    | 401 legacy_session_sunset
sunset      in     up     -    none     none    | 401 legacy_session_sunset
`

const logoutTable = `
# stage     cohort issuer dual token   session | want
migrating   out    up     -    none     live    | 200 sid-
migrating   in     up     -    none     live    | 200 sid-
migrating   out    up     -    none     expired | 200 sid-
migrating   out    up     -    none     ended   | 200 sid-
migrating   out    up     -    none     down    | 503 legacy_unavailable
migrating   out    up     -    none     none    | 400 invalid_request
migrating   in     up     -    cookie   none    | 200 tokens-
migrating   in     up     -    cookie   live    | 200 sid- tokens-
migrating   in     up     -    body     live    | 200 sid-
migrating   in     up     -    body     none    | 200
migrating   in     up     -    cookie   expired | 200 sid- tokens-
migrating   in     up     -    cookie   twice   | 200 tokens-
migrating   in     up     -    cookie   down    | 503 legacy_unavailable
migrating   in     up     -    cookie   other   | 403 conflicting_credentials
migrating   in     up     -    body     other   | 403 conflicting_credentials
migrating   out    up     -    revoked  live    | 200 sid- tokens-
migrating   out    up     -    revoked  other   | 200 sid- tokens-
migrating   in     up     -    unknown  live    | 200 sid- tokens-
deprecated  out    up     -    none     live    | 200 sid- announced
deprecated  out    up     -    cookie   live    | 200 sid- tokens- announced
deprecated  out    up     -    cookie   none    | 200 tokens-
deprecated  out    up     -    cookie   other   | 403 conflicting_credentials
sunset      out    up     -    cookie   live    | 200 tokens-
sunset      out    up     -    none     live    | 400 invalid_request
sunset      out    up     -    cookie   other   | 200 tokens-
sunset      out    up     -    body     none    | 200
`
