/** Runs a page in a headless browser and waits for what it reports. */

import { spawnSync } from 'node:child_process';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { launch, type SupportedBrowser } from 'puppeteer-core';

/** The browsers that are looked for, by the variable that names one and the usual names. */
const BROWSERS = [
  {
    name: 'Chromium',
    kind: 'chrome',
    variable: 'CHROMIUM',
    commands: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'],
  },
  { name: 'Firefox', kind: 'firefox', variable: 'FIREFOX', commands: ['firefox', 'firefox-esr'] },
] as const satisfies readonly { readonly kind: SupportedBrowser; readonly [key: string]: unknown }[];

const TIMEOUT_MS = 120_000;

/** A browser of this machine. */
export interface Browser {
  readonly name: string;
  readonly kind: SupportedBrowser;
  /** Where it is; `undefined` when it is not installed. */
  readonly path: string | undefined;
  /** The variable that names it. */
  readonly variable: string;
}

/** Chromium and Firefox, as they are installed: a variable names them, or they are found by their usual names. */
export function findBrowsers(): readonly Browser[] {
  return BROWSERS.map(({ name, kind, variable, commands }) => {
    const named = process.env[variable];
    return { name, kind, variable, path: (named === undefined ? commands : [named]).map(pathOf).find(Boolean) };
  });
}

function pathOf(command: string): string | undefined {
  if (spawnSync(command, ['--version'], { stdio: 'ignore' }).status !== 0) return undefined;
  return spawnSync('which', [command], { encoding: 'utf8' }).stdout.trim() || command;
}

/** What the page asks for, by path. */
export type Files = ReadonlyMap<string, { readonly type: string; readonly bytes: Uint8Array }>;

/** Opens `/` of `files` and waits for `globalThis.report`. @throws when there is none in time, or when the page throws. */
export async function runPage({ kind, path }: Browser, files: Files): Promise<unknown> {
  const server = createServer((request, response) => {
    const file = files.get(request.url ?? '');
    response.writeHead(file === undefined ? 404 : 200, { 'content-type': file?.type ?? 'text/plain' });
    response.end(file?.bytes);
  });
  const port = await listenOnLoopback(server);
  // Root cannot have Chromium's sandbox; the page is ours.
  const args = kind === 'chrome' && process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const browser = await launch({ browser: kind, executablePath: path!, headless: true, args });
  try {
    const page = await browser.newPage();
    const thrown = Promise.withResolvers<never>();
    page.on('pageerror', (error) => thrown.reject(error));
    await page.goto(`http://127.0.0.1:${port}/`);
    const reported = page.waitForFunction('globalThis.report', { timeout: TIMEOUT_MS, polling: 100 });
    return await (await Promise.race([reported, thrown.promise])).jsonValue();
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
}

async function listenOnLoopback(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
