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
  window.loginAnswer = JSON.stringify(body);
  const back = new URLSearchParams(location.search).get('return_to') || '/';
  location.assign(back.startsWith('/') && !back.startsWith('//') ? back : '/');
});
