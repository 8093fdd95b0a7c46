// npm's ssh2, as a program: `client PORT KEYFILE` dials and tries to open a channel, `server KEYFILE` listens and takes any key.
// It says what happens in lines of JSON.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import ssh2 from 'ssh2';

const say = (event) => console.log(JSON.stringify(event));
const algorithms = {
  kex: ['curve25519-sha256'],
  cipher: ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com'],
};
const fingerprint = (key) => `SHA256:${createHash('sha256').update(key).digest('base64').replaceAll('=', '')}`;
const [role, ...args] = process.argv.slice(2);

if (role === 'client') {
  const [port, keyFile] = args;
  const client = new ssh2.Client();
  client.on('ready', () => {
    say({ event: 'ready' });
    client.exec('true', (error) => {
      say({ event: 'channel', reason: error?.reason, message: error?.message });
      client.forwardIn('127.0.0.1', 0, (failure) => say({ event: 'request', message: failure?.message }));
    });
  });
  client.on('error', (error) => say({ event: 'error', message: error.message }));
  client.on('close', () => say({ event: 'close' }));
  client.connect({
    host: '127.0.0.1',
    port: Number(port),
    username: 'anybody',
    privateKey: readFileSync(keyFile),
    hostVerifier: (key) => {
      say({ event: 'host', fingerprint: fingerprint(key) });
      return true;
    },
    keepaliveInterval: 200,
    algorithms: { ...algorithms, serverHostKey: ['ssh-ed25519'] },
  });
} else {
  const [keyFile] = args;
  const server = new ssh2.Server({ hostKeys: [readFileSync(keyFile)], algorithms }, (client) => {
    client.on('authentication', (context) => {
      if (context.method !== 'publickey') return context.reject(['publickey']);
      if (context.signature) {
        const key = ssh2.utils.parseKey(context.key.data);
        const isSigned = key.verify(context.blob, context.signature, context.hashAlgo) === true;
        if (!isSigned) return context.reject();
        say({ event: 'authenticated', user: context.username, fingerprint: fingerprint(context.key.data) });
      }
      return context.accept();
    });
    client.on('ready', () => say({ event: 'ready' }));
    client.on('request', (accept, reject, name) => {
      say({ event: 'request', name });
      reject?.();
    });
    client.on('error', (error) => say({ event: 'error', message: error.message }));
    client.on('close', () => say({ event: 'close' }));
  });
  server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }));
}
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
