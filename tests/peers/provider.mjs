// A certified OpenID provider (npm oidc-provider), set up as a tenant whose apps call one Dataverse environment.
//
// It reads its settings as JSON from standard input, listens on a free port of this machine, says its issuer as one JSON
// line on standard output, and ends when standard input closes: it cannot outlive the test that started it.

import { generateKeyPairSync } from 'node:crypto';
import https from 'node:https';
import { text } from 'node:stream/consumers';

import { Provider } from 'oidc-provider';

const MOUNT = '/tenant';

const settings = JSON.parse(await firstLine(process.stdin));

const server = https.createServer({ key: settings.key, cert: settings.cert });
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `https://127.0.0.1:${server.address().port}${MOUNT}`;

const provider = new Provider(issuer, {
  clients: settings.clients,
  clientAuthMethods: ['client_secret_post', 'client_secret_basic', 'private_key_jwt', 'none'],
  jwks: { keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig' }] },
  cookies: { keys: [settings.cookieKey] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'] },
  conformIdTokenClaims: false, // the name stands in the ID token, as Entra's does
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: sub, preferred_username: sub }) }),
  rotateRefreshToken: true, // each is good once; a second use revokes the whole grant
  ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86400, DeviceCode: 600, Interaction: 600, Session: 3600, Grant: 86400 },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // a device flow cannot name its resource through MSAL: what nobody named is the environment
      defaultResource: (_, client, oneOf) => oneOf?.[0] ?? (client.clientId === settings.defaultsFor ? settings.environment : undefined),
      useGrantedResource: (_, source) => source.clientId === settings.defaultsFor,
      getResourceServerInfo: (_, resource) => ({
        scope: settings.scopes.join(' '),
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
provider.on('server_error', (_, error) => console.error(error));

const answer = provider.callback();
let tokenRequests = 0; // asked for at /token-requests, beside the provider
server.on('request', (request, response) => {
  request.originalUrl = request.url;
  tokenRequests += request.url === `${MOUNT}/token`;
  if (request.url === '/token-requests') {
    response.end(String(tokenRequests));
    return;
  }
  if (!request.url.startsWith(`${MOUNT}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.url = request.url.slice(MOUNT.length);
  answer(request, response);
});

console.log(JSON.stringify({ issuer }));
await text(process.stdin);
process.exit(0);

async function firstLine(stream) {
  stream.setEncoding('utf8');
  let read = '';
  while (!read.includes('\n')) {
    await new Promise((readable) => stream.once('readable', readable));
    read += stream.read() ?? '';
  }
  return read.slice(0, read.indexOf('\n'));
}
