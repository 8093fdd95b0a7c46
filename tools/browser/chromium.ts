/** Runs a page in headless Chromium and waits for what it reports. */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const TIMEOUT_MS = 120_000;

/** The browser of this machine: `CHROMIUM` names it, or it is found by its usual names; `undefined` without one. */
export function findChromium(): string | undefined {
  const named = process.env['CHROMIUM'];
  const candidates = named === undefined ? NAMES : [named];
  return candidates.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** What the page asks for, by path. */
export type Files = ReadonlyMap<string, { readonly type: string; readonly bytes: Uint8Array }>;

/** Opens `/` of `files` and waits for the JSON that the page posts to `/report`. @throws when none comes in time. */
export async function runPage(chromium: string, files: Files): Promise<unknown> {
  const reported = Promise.withResolvers<unknown>();
  const server = createServer((request, response) => {
    if (request.method === 'POST' && request.url === '/report') {
      text(request).then((body) => reported.resolve(JSON.parse(body)), reported.reject);
      response.end();
      return;
    }
    const file = files.get(request.url ?? '');
    response.writeHead(file === undefined ? 404 : 200, { 'content-type': file?.type ?? 'text/plain' });
    response.end(file?.bytes);
  });
  const port = await listenOnLoopback(server);
  const profile = mkdtempSync(path.join(tmpdir(), 'shoal-chromium-'));
  const flags = ['--headless=new', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
  // Root cannot have Chromium's sandbox; the page is ours.
  if (process.getuid?.() === 0) flags.push('--no-sandbox');
  const child = spawn(chromium, [...flags, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const gone = new Promise<void>((resolve) => void child.on('close', () => resolve()));
  child.on('error', reported.reject);
  const late = setTimeout(
    () => reported.reject(new Error(`No report within ${TIMEOUT_MS / 1000} s\n${said}`)),
    TIMEOUT_MS,
  );
  void gone.then(() => reported.reject(new Error(`Chromium ended without a report\n${said}`)));
  try {
    return await reported.promise;
  } finally {
    clearTimeout(late);
    child.kill('SIGKILL');
    await gone;
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function listenOnLoopback(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
