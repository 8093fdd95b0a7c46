import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import { assertFails, listening, main, spawnShoal } from './command.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-streams-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command with a file as one of its streams. */
async function into(file: string, stream: 'stdout' | 'stderr', args: readonly string[], input = '') {
  const fd = openSync(file, 'w');
  const child = spawnShoal(args, { stdio: stream === 'stdout' ? ['pipe', fd, 'pipe'] : ['pipe', 'pipe', fd] });
  closeSync(fd);
  child.stdin!.on('error', () => undefined);
  child.stdin!.end(input);
  const said = text((stream === 'stdout' ? child.stderr : child.stdout)!);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: '', stderr: await said, events: [] };
}

describe('output that cannot be written', { skip: existsSync('/dev/full') ? false : 'no /dev/full here' }, () => {
  for (const args of [['--help'], ['schema'], ['completion', 'bash'], ['keygen'], ['keygen', '--json'], ['listen']]) {
    it(`makes ${args.join(' ')} fail on one line`, async () => {
      assertFails(await into('/dev/full', 'stdout', args), 1, /Cannot write standard output: ENOSPC/);
    });
  }

  it('makes ask and pipe fail', async () => {
    await using bob = await listening('--stack', 'udp,mbapp', '--echo', '--quiet');
    const ask = ['ask', '--stack', 'udp,mbapp', bob.addr, '--data', 'hello'];
    for (const args of [ask, [...ask, '--json']]) {
      assertFails(await into('/dev/full', 'stdout', args), 1, /Cannot write standard output: ENOSPC/);
    }
    const waiting = spawnShoal(['pipe', '--bind', '127.0.0.1:0']);
    let note = '';
    while (!note.includes("'")) note += String((await once(waiting.stderr!, 'data'))[0]);
    const [closed] = [once(waiting, 'close')];
    waiting.stdout!.resume();
    waiting.stdin!.end('bytes');
    assertFails(await into('/dev/full', 'stdout', ['pipe', /'(.+)'/.exec(note)![1]!], ''), 1, /ENOSPC/);
    assert.equal((await closed)[0], 1);
  });

  it('is noticed where only its end does not fit', async (t) => {
    if (process.platform === 'win32') return t.skip('no ulimit here');
    await using bob = await listening('--stack', 'tcp', '--echo', '--quiet');
    const file = path.join(folder, 'short');
    const asking = `ulimit -f 64; exec "$@" > '${file}'`;
    const args = ['ask', '--stack', 'tcp', bob.addr, '-'];
    const child = spawn('bash', ['-c', asking, 'bash', process.execPath, '--conditions=shoal-source', main, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_COMPILE_CACHE: undefined },
    });
    child.stdin.end(Buffer.alloc(1_000_000, 'x'));
    const stderr = text(child.stderr);
    const [code] = (await once(child, 'close')) as [number | null];
    assertFails({ code, stdout: '', stderr: await stderr, events: [] }, 1, /Cannot write standard output: EFBIG/);
    assert(statSync(file).size > 0);
  });

  it('is an error on standard error too, which ends nothing before its time', async () => {
    const { code } = await into('/dev/full', 'stderr', ['keygen', '--verbose']);
    assert.equal(code, 0); // nothing was written to it
    await using bob = await listening('--stack', 'udp');
    const tell = ['tell', '--stack', 'udp', bob.addr, '--data', 'x', '--verbose'];
    assert.equal((await into('/dev/full', 'stderr', tell)).code, 1);
    assert.equal((await bob.next('tell'))['event'], 'tell');
  });
});

describe('a reader that has gone', () => {
  for (const args of [['--help'], ['schema'], ['keygen'], ['listen', '--json']]) {
    it(`ends ${args.join(' ')} without a word`, async () => {
      const child = spawnShoal(args);
      child.stdout!.destroy();
      const stderr = text(child.stderr!);
      assert.deepEqual(await once(child, 'close'), [0, null]);
      assert.equal(await stderr, '');
    });
  }

  it('of standard error leaves the command running', async () => {
    const child = spawnShoal(['listen', '--stack', 'udp', '--json', '--verbose']);
    child.stderr!.destroy();
    const stdout = text(child.stdout!);
    await once(child.stdout!, 'readable');
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'close'), [0, null]);
    assert.match(await stdout, /"event":"closed"/);
  });
});

function rssBytes({ pid }: ChildProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}

/** Sends datagrams until the process has had time for all of them: CPU time says so, and a datagram is lost otherwise. */
async function flood(child: ChildProcess, port: number, datagrams: number): Promise<void> {
  const socket = createSocket('udp4');
  const payload = Buffer.alloc(1200, 'x');
  for (let i = 0; i < datagrams; i++) {
    await new Promise((resolve) => socket.send(payload, port, '127.0.0.1', resolve));
    if (child.exitCode !== null) break;
  }
  socket.close();
}

/** Rounds of 15 000 datagrams of 1200 bytes; 60 000 in a row, 72 MB, may cost 24 MiB. */
const MAX_ROUNDS = 16;
const WINDOW_ROUNDS = 4;
const MAX_GROWTH_BYTES = 24 * 2 ** 20;

describe('a reader that does not read', { skip: process.platform === 'linux' ? false : 'needs /proc' }, () => {
  for (const args of [[], ['--json'], ['--json', '--verbose']]) {
    it(`keeps listen ${args.join(' ')} from growing, and gets everything it has room for later`, async () => {
      const child = spawnShoal(['listen', '--stack', 'udp', ...args]);
      using _killed = { [Symbol.dispose]: () => void child.kill('SIGKILL') };
      let first = '';
      while (!first.includes('\n')) first += String((await once(child.stdout!, 'data'))[0]);
      child.stdout!.pause();
      const port = Number(/127\.0\.0\.1:(\d+)/.exec(first)![1]);
      // The heap grows up to the size that the collector likes, sooner or later: what counts is that it stops.
      const sizes = [rssBytes(child)];
      let grown = Infinity;
      for (let round = 0; round < MAX_ROUNDS && grown >= MAX_GROWTH_BYTES; round++) {
        await flood(child, port, 15_000);
        sizes.push(rssBytes(child));
        if (sizes.length > WINDOW_ROUNDS) grown = sizes.at(-1)! - sizes.at(-1 - WINDOW_ROUNDS)!;
      }
      assert(grown < MAX_GROWTH_BYTES, `${sizes.map((size) => Math.round(size / 2 ** 20)).join(', ')} MiB`);
      child.kill('SIGINT');
      child.stderr!.resume();
      const rest = text(child.stdout!);
      assert.deepEqual(await once(child, 'close'), [0, null]);
      assert(first.length + (await rest).length > 100_000);
    });
  }

  it('is not waited for after Ctrl-C', async () => {
    const child = spawnShoal(['listen', '--stack', 'udp']);
    let first = '';
    while (!first.includes('\n')) first += String((await once(child.stdout!, 'data'))[0]);
    child.stdout!.pause();
    await flood(child, Number(/127\.0\.0\.1:(\d+)/.exec(first)![1]), 3000);
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    child.stdout!.destroy();
  });
});

describe('signals', () => {
  for (const [what, count] of [
    ['one', 1],
    ['two at once', 2],
  ] as const) {
    it(`end listen in order: ${what}`, async () => {
      const child = spawnShoal(['listen', '--json']);
      let said = '';
      child.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await once(child.stdout!, 'data');
      for (let i = 0; i < count; i++) child.kill('SIGINT');
      assert.deepEqual(await once(child, 'close'), [0, null]);
      assert.match(said, /"event":"closed"/);
    });
  }

  it('end a launcher and its child that both get one, as from a group', async () => {
    const launcher = path.join(main, '..', '..', 'bin', 'shoal.mjs');
    const child = spawn(process.execPath, [launcher, 'listen', '--json'], { stdio: 'pipe', detached: true });
    await once(child.stdout, 'data');
    process.kill(-child.pid!, 'SIGINT');
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });

  it('force the end of a command that does not, from the third on that comes later', async () => {
    const interrupt = path.join(main, '..', 'interrupt.ts');
    const program = `import { catchInterrupt } from ${JSON.stringify(interrupt)};
      const { fired } = catchInterrupt();
      fired.then(() => console.log('fired'));
      setInterval(() => console.log('tick'), 100);`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'pipe' });
    let ticks = 0;
    let fired = false;
    child.stdout.on('data', (chunk: Buffer) => {
      fired ||= chunk.includes('fired');
      if (ticks === 0) for (let i = 0; i < 3; i++) child.kill('SIGINT');
      // The system makes one of several that wait at the same time.
      if (++ticks >= 8) child.kill(ticks < 50 ? 'SIGINT' : 'SIGKILL');
    });
    assert.deepEqual(await once(child, 'close'), [null, 'SIGINT']);
    assert(fired && ticks >= 8);
  });
});
