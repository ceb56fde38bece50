// The application has no token: it calls its own origin, and the gateway attaches the token.
const element = (id) => document.getElementById(id);

async function show() {
  const response = await fetch('/bff/user');
  const isSignedIn = response.ok;
  element('sign-in').hidden = isSignedIn;
  for (const id of ['sign-out', 'order']) element(id).hidden = !isSignedIn;
  if (!isSignedIn) {
    element('user').textContent = 'You are not signed in.';
    return;
  }
  const { claims, logout_url: logoutUrl } = await response.json();
  element('user').textContent = `Signed in as ${claims.name}.`;
  element('sign-out').onclick = () => location.assign(`${logoutUrl}&returnUrl=/index.html`);
  element('orders').textContent = await (await fetch('/api/orders')).text();
}

element('sign-in').onclick = () => location.assign('/bff/login?returnUrl=/index.html');
// Requests that change something need the field, which a page of another site cannot send.
element('order').onclick = async () => {
  const response = await fetch('/api/orders', { method: 'POST', headers: { 'X-CSRF': '1' }, body: '{"item":1}' });
  element('orders').textContent = await response.text();
};
await show();
