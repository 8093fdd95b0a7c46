/** Redis and NATS as Debian packages them, started on loopback for a test and killed at will. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The folders of Debian's servers. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin`;

/** A server that stores cells. */
export interface StoreServerKind {
  readonly program: string;
  readonly scheme: string;
  readonly args: (port: number, folder: string) => readonly string[];
}

/** Every write is on the disk before it is acknowledged. */
export const REDIS: StoreServerKind = {
  program: 'redis-server',
  scheme: 'redis',
  args: (port, folder) =>
    `--port ${port} --bind 127.0.0.1 --dir ${folder} --daemonize no --appendonly yes --appendfsync always`.split(' '),
};

/** Every write is in the file before it is acknowledged, and on the disk after two minutes. */
export const NATS: StoreServerKind = {
  program: 'nats-server',
  scheme: 'nats',
  args: (port, folder) => ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder],
};

/** Why a server cannot be had here, or false. */
export function serverMissing({ program }: StoreServerKind): string | false {
  const { error } = spawnSync(program, ['--version'], { env: { ...process.env, PATH } });
  return error === undefined ? false : `${program} is not installed`;
}

/** A running server; its data stay when it is killed. */
export class StoreServer implements AsyncDisposable {
  readonly port: number;
  readonly #kind: StoreServerKind;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(kind: StoreServerKind, port: number) {
    this.#kind = kind;
    this.port = port;
    this.#folder = mkdtempSync(path.join(tmpdir(), `shoal-${kind.program}-`));
  }

  static async open(kind: StoreServerKind): Promise<StoreServer> {
    const server = new StoreServer(kind, await freePort());
    await server.start();
    return server;
  }

  get url(): string {
    return `${this.#kind.scheme}://127.0.0.1:${this.port}`;
  }

  /** Starts it, and waits until it answers. */
  async start(): Promise<void> {
    const { program, args } = this.#kind;
    const child = spawn(program, args(this.port, this.#folder), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PATH },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    this.#process = child;
    const ended = once(child, 'close').then(() =>
      Promise.reject(new Error(`${program} ended: ${output.slice(-2000)}`)),
    );
    await Promise.race([this.#answers(), ended]);
    ended.catch(() => undefined);
  }

  /** kill -9; waits for the end. */
  async kill(): Promise<void> {
    const child = this.#process!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<void> {
    while (!(await accepts(this.port))) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
