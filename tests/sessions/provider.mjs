// An OpenID provider (npm oidc-provider) for the tests of sign-in sessions, and a second port that controls it.
//
// node provider.mjs PORT CONTROL_PORT ORIGIN...: the origins of the gateways. The control port has GET /counts, which
// returns how often tokens were requested, and POST /away, /slow, /nonsense, /back, /rotate and /lifetime/SECONDS.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, controlPort, ...origins] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;
const key = (kid) => ({ ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' });
let keys = [key('first')];
let lifetime = 300;
let mode = 'back';
const counts = { authorization_code: 0, refresh_token: 0 };

/** A provider with the current keys; sessions and grants are in memory that all of them share. */
function provider() {
  const oidc = new Provider(issuer, {
    clients: [{
      client_id: 'app',
      client_secret: 'app-secret-of-the-tests',
      redirect_uris: origins.map((origin) => `${origin}/bff/callback`),
      post_logout_redirect_uris: origins.map((origin) => `${origin}/goodbye`),
      backchannel_logout_uri: `${origins[0]}/bff/back-channel-logout`,
      backchannel_logout_session_required: true,
      grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'ES256',
    }],
    jwks: { keys },
    clientAuthMethods: ['client_secret_basic'],
    cookies: { keys: ['a key of the tests'] },
    claims: { openid: ['sub', 'sid'], profile: ['name'] },
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    issueRefreshToken: () => true,
    ttl: { AccessToken: () => lifetime, IdToken: 300, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600 },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `User ${id}` }) }),
    // Users have consented.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile offline_access');
      await grant.save();
      return grant;
    },
  });
  oidc.on('grant.success', (ctx) => { counts[ctx.oidc.params.grant_type] += 1; });
  return oidc.callback();
}

let handle = provider();
createServer((request, response) => {
  if (mode === 'away') return request.socket.destroy();
  if (mode === 'slow') return setTimeout(() => response.destroy(), 10_000);
  if (mode === 'nonsense') return response.end('<html>maintenance</html>');
  return handle(request, response);
}).listen(port, '127.0.0.1');

createServer((request, response) => {
  const path = request.url.slice(1);
  if (path === 'rotate') {
    keys = [key('second'), ...keys];
    handle = provider();
  } else if (path.startsWith('lifetime/')) {
    lifetime = Number(path.split('/')[1]);
  } else if (path !== 'counts') {
    mode = path;
  }
  response.end(JSON.stringify(counts));
}).listen(controlPort, '127.0.0.1');
