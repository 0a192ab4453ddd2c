// The tokens go into cookies that no script can read: the answer has none.
document.getElementById('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const answer = await fetch('/auth/login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      username: document.getElementById('name').value,
      password: document.getElementById('password').value,
      delivery: 'cookie',
    }),
  });
  const body = await answer.json();
  if (!answer.ok) {
    document.getElementById('message').textContent = body.title;
    return;
  }
  location.assign(homeward());
});

// homeward is the page that the user came from, or the first one. It is never on another site, whatever a link to this
// page says: browsers take /\example.com for one.
function homeward() {
  try {
    const back = new URL(new URLSearchParams(location.search).get('return_to') || '/', location.origin);
    if (back.origin === location.origin) return back.href;
  } catch { /* not an address */ }
  return '/';
}
