
"use strict";
(function () {
  var box = document.querySelector("main"), title = box.querySelector("h1"), text = box.querySelector("[role=status]"), actions = box.querySelector(".actions");
  var to = box.dataset.to, login = box.dataset.login;
  var key = "keyturn-continue", waits = [1000, 2000, 4000, 8000], ready = false;

  // Where a page still sends us back after a refresh that worked, refreshing again does not help.
  function load() {
    try { return JSON.parse(sessionStorage.getItem(key)) || {}; } catch (e) { /* storage may be forbidden */ }
    try { return JSON.parse(window.name.slice(key.length)) || {}; } catch (e) { return {}; }
  }
  function save(value) {
    var json = JSON.stringify(value);
    try { sessionStorage.setItem(key, json); return true; } catch (e) { /* the name of the window outlives a page, too */ }
    if (window.name !== "" && window.name.indexOf(key) !== 0) { return false; }
    window.name = key + json;
    return true;
  }
  var last = load(), soon = last.kept ? 60000 : 10000, returned = Date.now() - last.at < soon && last.to === to ? last.returned + 1 : 0;

  function stop(heading, message) {
    document.title = title.textContent = heading;
    text.textContent = message;
    box.className = "stopped";
    actions.hidden = false;
    actions.querySelector("button").focus();
  }
  function busy() {
    document.title = title.textContent = "One moment";
    text.textContent = "Your session is being renewed.";
    box.className = "";
    actions.hidden = true;
  }
  function go(address) { window.location.replace(address); }

  function ask() {
    var options = { method: "POST", credentials: "same-origin", cache: "no-store", redirect: "error", headers: { "Content-Type": "application/json" }, body: "{}" };
    if (window.AbortSignal && AbortSignal.timeout) { options.signal = AbortSignal.timeout(15000); }
    return fetch("/auth/refresh", options);
  }
  function refresh() {
    // One tab after the other. Tabs of browsers without locks race, which the retry window forgives.
    return navigator.locks ? navigator.locks.request("keyturn-refresh", ask) : ask();
  }

  // A session that is kept is what the page has refused: going back to it helps once at most.
  function arrived(body) {
    var kept = body.token_type === "session";
    if (new URL(to, window.location.href).origin !== window.location.origin) { return; }
    if (kept && returned > 0) {
      stop("Not at the moment", "You are logged in, but this site does not take your session just now. Please try again in a few minutes, or log in again.");
      return;
    }
    if (save({ at: Date.now(), to: to, returned: returned, kept: kept })) { go(to); return; }
    // Nothing can count how often we come back here, so somebody has to say go.
    ready = true;
    stop("Please go on", "Your session is renewed.");
  }
  function attempt(n) {
    refresh().then(function (answer) {
      if (answer.ok) { return answer.json().catch(function () { return {}; }).then(arrived); }
      if (answer.status === 401) {
        if (login) { go(login); return; }
        stop("Please log in again", "Your session has ended.");
        return;
      }
      if (answer.status === 429 || answer.status >= 500) { later(n, Number(answer.headers.get("Retry-After")) * 1000); return; }
      stop("That did not work", "Your session could not be renewed (" + answer.status + ").");
    }).catch(function () { later(n, 0); });
  }
  function later(n, wish) {
    if (n >= waits.length) {
      stop("That did not work", "The service does not answer at the moment. You are still logged in: please try again.");
      return;
    }
    window.setTimeout(function () { attempt(n + 1); }, Math.max(waits[n], Math.min(wish || 0, 15000)));
  }

  actions.querySelector("button").addEventListener("click", function () {
    if (ready) { go(to); return; }
    returned = 0; busy(); attempt(0);
  });
  window.addEventListener("pageshow", function (event) { if (event.persisted) { returned = 0; busy(); attempt(0); } });
  if (returned > 1) {
    stop("This page does not open", "Your session was renewed, but the page still asks for a new one. Please try again, or tell the people who run this site.");
  } else {
    attempt(0);
  }
})();
