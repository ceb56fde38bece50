// Sign-in sessions with a real provider and a headless Chromium.
//
// node browser.mjs CONTROL ORIGIN...: the control port of the provider, and the origins of one or two gateways. Prints the
// number of cases as `1..N`, and a line for each of them, `ok NAME` or `not ok NAME`. CASE=text runs the cases whose names
// contain it; REDIS_PID is the process of the shared state, if sessions are there.
import { Agent, request as httpRequest } from 'node:http';
import puppeteer from 'puppeteer-core';

const [control, ...origins] = process.argv.slice(2);
const [first, second = first] = origins;
const tell = async (path) => (await fetch(`http://127.0.0.1:${control}/${path}`, { method: path === 'counts' ? 'GET' : 'POST' })).json();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const equal = (found, expected, what) => {
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
};

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // The pages of the provider import a font of another host: without the rule each of them waits for a name server.
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
  ],
});

/** A page in a browser context, whose cookies are separate. */
async function visitor() {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  return { context, page };
}

/** Fills in the form of the provider that the page shows. */
async function enter(page, name) {
  await page.waitForSelector('input[name=login]');
  await page.$eval('input[name=login]', (input, name) => { input.value = name; }, name);
  await page.$eval('input[name=password]', (input) => { input.value = 'any'; });
  const [response] = await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')]);
  return response;
}

/** Signs in, and waits for the page that was asked for: the redirects in between may be navigations of their own. */
async function signIn(page, url, name) {
  await page.goto(url);
  await enter(page, name);
  await arrive(page, url);
}

/** Waits for the page that was asked for. */
async function arrive(page, url) {
  const path = (text) => text.split('#')[0];
  for (const start = Date.now(); path(page.url()) !== path(url); await sleep(20)) {
    if (Date.now() - start > 10_000) throw new Error(`sign-in ended at ${page.url()}`);
  }
}

/**
 * Signs in, and returns the number of refreshes when the access token has expired; the next token lives long. The page already
 * starts a refresh in the background, because tokens are renewed 15 s early: it must end before the next lifetime is set.
 */
async function expire(page, name) {
  const refreshes = async () => (await tell('counts')).refresh_token;
  const before = await refreshes();
  await tell('lifetime/2');
  await signIn(page, `${first}/app`, name);
  for (const start = Date.now(); await refreshes() === before; await sleep(20)) {
    if (Date.now() - start > 10_000) throw new Error('the page has started no refresh');
  }
  await tell('lifetime/300');
  await sleep(2500);
  return refreshes();
}

/** A call of a script in the page. */
const call = (page, url, options = {}) => page.evaluate(async (url, options) => {
  const body = options.megabytes ? new Uint8Array(options.megabytes << 20) : options.body;
  const response = await fetch(url, { ...options, body, redirect: 'manual' });
  const text = await response.text();
  let json = null;
  try { json = JSON.parse(text); } catch { /* a page */ }
  return { status: response.status, type: response.type, json, text: text.slice(0, 200) };
}, url, options);

/** Requests of a program with the cookies of a page, on connections of their own; returns the responses other than 200. */
async function parallel(page, count) {
  const cookies = await page.browserContext().cookies();
  const header = cookies.filter((cookie) => cookie.name.startsWith('__Host-session')).map(({ name, value }) => `${name}=${value}`).join('; ');
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  const one = (index) => new Promise((resolve, reject) => {
    const target = new URL('/api/echo', index % 2 ? second : first);
    const sent = httpRequest(target, { agent, headers: { cookie: header } }, (response) => {
      let body = '';
      response.on('data', (part) => { body += part; });
      response.on('end', () => resolve(response.statusCode === 200 ? null : `${response.statusCode} ${body}`));
    });
    sent.on('error', reject);
    sent.end();
  });
  const failures = (await Promise.all(Array.from({ length: count }, (_, index) => one(index)))).filter(Boolean);
  agent.destroy();
  return failures;
}

const cases = {
  async 'a page signs in, and returns to its address with the session'() {
    const { context, page } = await visitor();
    await signIn(page, `${first}/app?view=orders#top`, 'ann');
    equal(page.url().split('#')[0], `${first}/app?view=orders`, 'the address');
    const echo = await call(page, '/api/echo');
    equal(echo.status, 200, 'the call of a script');
    const headers = echo.json.headers;
    const isForwarded = (headers.cookie ?? '').includes('__Host-session');
    equal([typeof headers.authorization, isForwarded], ['string', false], 'the request of the backend');
    const user = await call(page, '/bff/user');
    equal([user.status, user.json.claims.sub], [200, 'ann'], 'the user');
    const visible = await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage }));
    equal(visible.includes('__Host-session'), false, 'what scripts can read');
    const cookies = (await context.cookies()).filter((cookie) => cookie.name === '__Host-session');
    equal([cookies.length, cookies[0].httpOnly, cookies[0].secure, cookies[0].sameSite], [1, true, true, 'Lax'], 'the cookie');
    await context.close();
  },
  async 'a script without a session gets a problem, and a forged cookie too'() {
    const { context, page } = await visitor();
    await page.goto(`${first}/public`);
    const missing = await call(page, '/api/echo');
    equal([missing.status, missing.json.code], [401, 'session.required'], 'no session');
    await context.setCookie({ name: '__Host-session', value: '1.Zm9yZ2Vk', domain: 'localhost', path: '/', secure: true, httpOnly: true });
    const forged = await call(page, '/api/echo');
    equal([forged.status, forged.json.code], [401, 'session.invalid'], 'a forged session');
    await context.close();
  },
  async 'a request of another site is refused'() {
    const { context, page } = await visitor();
    await signIn(page, `${first}/app`, 'ann');
    equal((await call(page, '/api/echo', { method: 'POST' })).status, 200, 'the same origin');
    const other = await context.newPage();
    await other.goto(`${first.replace('localhost', '127.0.0.1')}/public`);
    await other.setContent(`<form method="post" action="${first}/api/echo"><input type="submit" id="go"></form>`);
    const [response] = await Promise.all([other.waitForNavigation(), other.click('#go')]);
    equal(response.status() >= 400, true, 'a form of another site');
    await context.close();
  },
  async 'two tabs sign in at the same time'() {
    const { context, page } = await visitor();
    const other = await context.newPage();
    await page.goto(`${first}/app?tab=1`);
    await other.goto(`${first}/app?tab=2`);
    await page.bringToFront();
    await enter(page, 'ann');
    await arrive(page, `${first}/app?tab=1`);
    await other.bringToFront();
    await enter(other, 'ann');
    await arrive(other, `${first}/app?tab=2`);
    await context.close();
  },
  async 'twenty requests wait for one refresh'() {
    const { context, page } = await visitor();
    const before = await expire(page, 'ann');
    const statuses = await page.evaluate(() => Promise.all(Array.from({ length: 20 }, async () => (await fetch('/api/echo')).status)));
    equal(statuses.filter((status) => status !== 200).length, 0, 'failed requests');
    equal((await tell('counts')).refresh_token - before, 1, 'refreshes');
    await context.close();
  },
  async 'a thousand parallel requests with an expired token cause one refresh'() {
    const { context, page } = await visitor();
    const before = await expire(page, 'ann');
    equal(await parallel(page, 1000), [], 'failed requests');
    equal((await tell('counts')).refresh_token - before, 1, 'refreshes');
    await context.close();
  },
  async 'the session works on the other gateway'() {
    const { context, page } = await visitor();
    await signIn(page, `${first}/app`, 'ben');
    await page.goto(`${second}/app`);
    equal(page.url(), `${second}/app`, 'no sign-in');
    equal((await call(page, '/bff/user')).json.claims.sub, 'ben', 'the user');
    await context.close();
  },
  async 'a sign-out ends the session here and at the provider, on all gateways'() {
    const { context, page } = await visitor();
    await signIn(page, `${first}/app`, 'ann');
    const { json } = await call(page, '/bff/user');
    await page.goto(`${first}${json.logout_url}&returnUrl=/goodbye`);
    await Promise.all([page.waitForNavigation(), page.click('button[value=yes], button[name=logout]')]);
    equal(page.url().split('?')[0], `${first}/goodbye`, 'the address');
    equal((await call(page, '/api/echo')).status, 401, 'the session');
    await page.goto(`${second}/app`);
    await page.waitForSelector('input[name=login]');
    await context.close();
  },
  async 'the provider ends a session by back channel'() {
    const [one, two] = [await visitor(), await visitor()];
    await signIn(one.page, `${first}/app`, 'carl');
    const cookies = (await one.context.cookies()).filter((cookie) => cookie.name.startsWith('__Host-session'));
    await two.context.setCookie(...cookies);
    await two.page.goto(`${second}/public`);
    equal((await call(two.page, '/api/echo')).status, 200, 'a copy of the session');
    await one.page.goto(`${process.env.ISSUER}/session/end`);
    await Promise.all([one.page.waitForNavigation(), one.page.click('button[value=yes], button[name=logout]')]);
    let status = 200;
    for (let tries = 0; tries < 100 && status === 200; tries++) {
      status = (await call(two.page, '/api/echo')).status;
      await sleep(50);
    }
    equal(status, 401, 'the copy of the session');
    await one.context.close();
    await two.context.close();
  },
  async 'an upload with a session that has ended gets a problem, not a reset'() {
    const { context, page } = await visitor();
    await signIn(page, `${first}/app`, 'ann');
    const { json } = await call(page, '/bff/user');
    const cookies = (await context.cookies()).filter((cookie) => cookie.name.startsWith('__Host-session'));
    await call(page, json.logout_url);
    await context.setCookie(...cookies);
    const upload = await call(page, '/api/echo', { method: 'POST', megabytes: 8, headers: { 'X-CSRF': '1' } });
    equal([upload.status, upload.json.code], [401, 'session.expired'], 'the upload');
    await context.close();
  },
  async 'the provider rotates its keys'() {
    await tell('rotate');
    const { context, page } = await visitor();
    await signIn(page, `${first}/app`, 'dora');
    equal((await call(page, '/bff/user')).json.claims.sub, 'dora', 'the user');
    await context.close();
  },
  async 'a provider that is away, slow or answers nonsense ends no session and causes no loop'() {
    const { context, page } = await visitor();
    await signIn(page, `${first}/app`, 'ann');
    const stranger = await visitor();
    await tell('lifetime/300');
    for (const mode of ['away', 'slow', 'nonsense']) {
      await tell(mode);
      equal((await call(page, '/api/echo')).status, 200, `a session, ${mode}`);
    }
    await tell('away');
    const fresh = await stranger.page.goto(`${first}/app`).catch((error) => error);
    const isStopped = fresh instanceof Error || fresh.status() === 503;
    equal(isStopped, true, 'a sign-in');
    await tell('back');
    await signIn(stranger.page, `${first}/app`, 'ann');
    equal(stranger.page.url(), `${first}/app`, 'a sign-in afterwards');
    await context.close();
    await stranger.context.close();
  },
};

/** With sessions on Redis, on two gateways. */
const sharedCases = {
  async 'without Redis known sessions go on, others get a 503, and no browser is sent to the provider in a loop'() {
    const [known, stranger] = [await visitor(), await visitor()];
    await signIn(known.page, `${first}/app`, 'ann');
    equal((await call(known.page, '/api/echo')).status, 200, 'the session');
    process.kill(redis, 'SIGSTOP');
    try {
      equal((await call(known.page, '/api/echo')).status, 200, 'a session that the gateway has in memory');
      const other = await known.page.goto(`${second}/app`);
      equal([other.status(), new URL(known.page.url()).origin], [503, second], 'the gateway that does not have it');
      equal((await call(known.page, '/api/echo')).json.code, 'state.unavailable', 'a script there');
      await stranger.page.goto(`${first}/app`);
      const callback = await enter(stranger.page, 'ben');
      equal([callback.status(), new URL(stranger.page.url()).pathname], [503, '/bff/callback'], 'a sign-in');
    } finally {
      process.kill(redis, 'SIGCONT');
    }
    let status = 503;
    for (let tries = 0; tries < 100 && status === 503; tries++) {
      await sleep(50);
      status = (await known.page.goto(`${second}/app`)).status();
    }
    equal([status, known.page.url()], [200, `${second}/app`], 'the session afterwards');
    await known.context.close();
    await stranger.context.close();
  },
};

const redis = Number(process.env.REDIS_PID);
const all = Object.entries({ ...cases, ...(redis ? sharedCases : {}) });
const selected = all.filter(([name]) => name.includes(process.env.CASE ?? ''));
console.log(`1..${selected.length}`);
let failed = 0;
for (const [name, run] of selected) {
  const began = Date.now();
  try {
    await run();
    console.log(`ok ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${error.message.split('\n')[0]}`);
    await tell('back');
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
