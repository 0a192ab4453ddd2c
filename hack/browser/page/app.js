// ask fetches as the application does: on a 401 it refreshes once and asks again. Tabs refresh one after another.
async function ask(path) {
  let answer = await fetch(path);
  if (answer.status === 401) {
    const refreshed = await navigator.locks.request('keyturn-refresh', () => fetch('/auth/refresh', { method: 'POST' }));
    if (!refreshed.ok) return `refresh ${refreshed.status}`;
    answer = await fetch(path);
  }
  return answer.ok ? answer.text() : `${answer.status}`;
}
document.getElementById('ask').addEventListener('click', async () => {
  document.getElementById('answer').textContent = await ask('/api/me');
});
document.getElementById('logout').addEventListener('click', async () => {
  const answer = await fetch('/auth/logout', { method: 'POST' });
  document.getElementById('answer').textContent = `logout ${answer.status}`;
});
