-- Asks Keyturn whether a request may pass. In haproxy.cfg:
--   setenv KEYTURN_AUTHORIZER http://HOST:PORT/authz/haproxy/
--   lua-load-per-thread /etc/haproxy/keyturn.lua
--   http-request lua.keyturn NAMESPACE/NAME
--   http-request deny deny_status 503 unless { var(txn.keyturn_allowed) -m bool }
-- Only Keyturn's own yes lets a request pass: the status 200, `X-Keyturn-Allowed: true` and no body. HAProxy logs an error
-- in a script, want of memory among them, and goes on with the next rule: so this one says that a request may pass, as the
-- last thing it does, and the line behind it refuses whatever it did not say that of.
local authorizer = assert(os.getenv("KEYTURN_AUTHORIZER"), "setenv KEYTURN_AUTHORIZER before lua-load-per-thread")

-- What the application is told. Add the upstreamHeaders of your AccessPolicies here and to the del-header lines.
local identity = { "x-auth-user", "x-auth-role", "x-auth-method" }

-- Headers of this connection, of the body that is not sent, and those that are written below.
local own = {
  ["host"] = true, ["connection"] = true, ["keep-alive"] = true, ["upgrade"] = true, ["te"] = true, ["trailer"] = true,
  ["transfer-encoding"] = true, ["content-length"] = true, ["expect"] = true, ["proxy-connection"] = true,
  ["x-forwarded-method"] = true, ["x-forwarded-uri"] = true,
}

-- Headers of a denial that the client gets.
local passed = {
  "www-authenticate", "retry-after", "location", "content-type", "cache-control", "x-keyturn-code", "x-keyturn-decision",
  "deprecation", "sunset", "link",
}
local statuses = { [302] = true, [401] = true, [403] = true, [503] = true }

-- values turns what HAProxy gives, which counts from 0, into a list.
local function values(list)
  local all, i = {}, 0
  while list[i] do
    all[#all + 1] = list[i]
    i = i + 1
  end
  return all
end

local function refuse(txn, status, headers, body)
  txn:done(txn:reply{ status = status, headers = headers, body = body })
end

local function unavailable(txn)
  refuse(txn, 503, {
    ["content-type"] = { "application/problem+json" }, ["cache-control"] = { "no-store" }, ["retry-after"] = { "1" },
  }, '{"type":"about:blank","title":"Service Unavailable","status":503,"code":"authorizer_unavailable"}\n')
end

core.register_action("keyturn", { "http-req" }, function(txn, policy)
  local asked = {}
  for name, list in pairs(txn.http:req_get_headers()) do
    if not own[name] then asked[name] = values(list) end
  end
  asked["x-forwarded-method"] = { txn.sf:method() }
  asked["x-forwarded-uri"] = { txn.sf:pathq() }

  local ok, answer = pcall(function()
    return core.httpclient():get{ url = authorizer .. policy, headers = asked, timeout = 2000 }
  end)
  if not ok or not answer or not answer.headers then return unavailable(txn) end

  local allowed = answer.headers["x-keyturn-allowed"] and answer.headers["x-keyturn-allowed"][0]
  if answer.status == 200 and allowed == "true" and (answer.body == nil or answer.body == "") then
    for _, name in ipairs(identity) do
      local value = answer.headers[name] and answer.headers[name][0]
      if not value or answer.headers[name][1] then return unavailable(txn) end
      txn.http:req_del_header(name)
      if value ~= "" then txn.http:req_set_header(name, value) end
    end
    for _, name in ipairs({ "deprecation", "sunset", "link" }) do
      local value = answer.headers[name] and answer.headers[name][0]
      if value then txn:set_var("txn.keyturn_" .. name, value) end
    end
    txn:set_var("txn.keyturn_allowed", true) -- the last: nothing that can fail comes behind it
    return
  end

  if not statuses[answer.status] then return unavailable(txn) end
  local headers = {}
  for _, name in ipairs(passed) do
    if answer.headers[name] then headers[name] = values(answer.headers[name]) end
  end
  refuse(txn, answer.status, headers, answer.body or "")
end, 1)
