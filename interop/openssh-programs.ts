/** OpenSSH's programs, with keys and folders of their own. Nothing of the user's is read. */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';

/** The server is started by its whole path: it starts itself again. */
const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/bin/sshd'].find((file) => existsSync(file));

/** A reason to skip what needs the client, or false. */
export const clientMissing = (): string | false =>
  spawnSync('ssh', ['-V']).error === undefined && spawnSync('ssh-keygen', ['-?']).error === undefined
    ? false
    : 'ssh is not installed';

/** A reason to skip what needs the server, or false. */
export function serverMissing(): string | false {
  if (SSHD === undefined) return 'sshd is not installed';
  return process.getuid?.() === 0 ? clientMissing() : 'sshd needs root for its sandbox';
}

/** A folder that is removed in the end. */
export class SshFolder implements Disposable {
  readonly dir: string = mkdtempSync(path.join(tmpdir(), 'shoal-openssh-'));

  file(name: string, content?: string): string {
    const file = path.join(this.dir, name);
    if (content !== undefined) writeFileSync(file, content, { mode: 0o600 });
    return file;
  }

  /** Makes a key of `ssh-keygen`'s. @returns its file; the public one has `.pub` behind it */
  key(type: 'ed25519' | 'ecdsa' | 'rsa'): string {
    const file = path.join(this.dir, type);
    if (!existsSync(file)) execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', file]);
    return file;
  }

  /** The fingerprint that `ssh-keygen -l` shows. */
  fingerprint(file: string): string {
    return execFileSync('ssh-keygen', ['-l', '-f', `${file}.pub`], { encoding: 'utf8' }).split(' ')[1]!;
  }

  /** The public key as one line. */
  publicKey(file: string): string {
    return readFileSync(`${file}.pub`, 'utf8').trim();
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A program whose words are waited for. */
export class Talking implements AsyncDisposable {
  text = '';
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  #wake: () => void = () => {};

  constructor(child: ChildProcess, streams: readonly Readable[]) {
    this.#child = child;
    for (const stream of streams) {
      stream.on('data', (chunk: Buffer) => {
        this.text += chunk.toString();
        this.#wake();
      });
    }
    this.ended = new Promise((resolve) =>
      child.once('close', (code) => {
        resolve(code);
        this.#wake();
      }),
    );
  }

  /** Resolves when it has said this so many times; rejects with all its words when it has ended without. */
  async says(pattern: RegExp, times = 1): Promise<void> {
    const all = new RegExp(pattern.source, 'g');
    let hasEnded = false;
    void this.ended.then(() => (hasEnded = true));
    while ((this.text.match(all)?.length ?? 0) < times) {
      if (hasEnded) throw new Error(`it has ended without ${String(pattern)}:\n${this.text}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** Runs `ssh` with options of its own only. */
export function runSsh(args: readonly string[]): Talking {
  const child = spawn('ssh', ['-F', 'none', '-o', 'BatchMode=yes', '-o', 'IdentityAgent=none', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Talking(child, [child.stdout, child.stderr]);
}

/** `sshd` for each connection that comes to a port of ours. */
export class SshServer implements AsyncDisposable {
  readonly port: number;
  /** What all of them say. */
  readonly servers: Talking[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, config: string) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      const child = spawn(SSHD!, ['-i', '-e', '-f', config], { stdio: [socket, socket, 'pipe'] });
      // The descriptor is the child's; what this process has of it must not read.
      socket.pause();
      this.servers.push(new Talking(child, [child.stderr]));
      child.once('close', () => socket.destroy());
    });
  }

  /** @param hostKey - the file of its key. @param authorized - lines of public keys that may come in as root */
  static async open(folder: SshFolder, hostKey: string, authorized: string, more = ''): Promise<SshServer> {
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const keys = folder.file('authorized_keys', `${authorized}\n`);
    const lines = [
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${keys}`,
      'PermitRootLogin yes',
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'LogLevel DEBUG3',
      more,
    ];
    const config = folder.file('sshd_config', `${lines.join('\n')}\n`);
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new SshServer(server, config);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.servers.map((each) => each[Symbol.asyncDispose]()));
  }
}
