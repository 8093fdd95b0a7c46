import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { assertFails, shoal, startShoal } from './command.ts';

const root = path.join(import.meta.dirname, '..', '..', '..');

const numbers = (value: unknown): Readonly<Record<string, number>> => value as Readonly<Record<string, number>>;

describe('shoal demo', () => {
  it('forms a network, survives kill -9 and sums up truly', async () => {
    const { code, events, stderr } = await shoal(['demo', '--json', '--seconds', '3']);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const of = (name: string): typeof events => events.filter(({ event }) => event === name);
    const peers = of('peer');
    assert.equal(new Set(peers.map(({ pid }) => pid)).size, 7); // six, and one started again
    assert.equal(new Set(peers.map(({ id }) => id)).size, 6);
    assert.equal(of('formed')[0]?.['peers'], 6);
    const behind = peers.filter(({ nat }) => nat === 'simulated NAT').map(({ name }) => String(name));
    assert.deepEqual(behind.toSorted(), ['bream', 'cod']);
    const [transferred] = of('transferred');
    assert.equal(transferred?.['bytes'], 64 * 1024 * 1024);
    assert.notEqual(transferred['from'], transferred['to']);

    const [killed] = of('killed');
    const [before, after] = peers.filter(({ name }) => name === killed?.['name']);
    assert.equal(before?.['pid'], killed?.['pid']);
    assert.equal(after?.['id'], before?.['id']);
    assert.notDeepEqual(after?.['addrs'], before?.['addrs']);
    assert.equal(of('recovered')[0]?.['pid'], after?.['pid']);

    const summary = of('summary')[0]!;
    assert.deepEqual(events.at(-1), summary);
    assert.deepEqual([summary['peers'], summary['processes'], summary['killed']], [6, 7, 1]);
    assert.equal(summary['lost'], 0);
    const [tells, asks] = [numbers(summary['tells']), numbers(summary['asks'])];
    assert(tells['received']! > 100);
    // More may be received than sent: what the killed one sent after its last report is in no figure.
    assert(tells['echoed']! <= tells['sent']!);
    assert.equal(summary['repeated'], 0);
    assert(asks['answered']! + asks['failed']! <= asks['sent']!);
    assert.equal(numbers(summary['messages'])['sent'], tells['sent']! + asks['sent']!);
    assert(Number(numbers(summary['tellEchoMs'])['medianMs']) > 0);

    // Pairs with a peer behind a NAT meet by way of the relay; what the lines say is what the summary adds up.
    const paths = of('path');
    const pairsOf = (lines: typeof events): Set<string> =>
      new Set(lines.map(({ from, to }) => [String(from), String(to)].toSorted().join(' ')));
    const isRelayed = ({ kind }: (typeof events)[number]): boolean => kind === 'relay';
    const [relayed, others] = [paths.filter(isRelayed), paths.filter((path) => !isRelayed(path))];
    assert(others.some(({ kind }) => kind === 'punch'));
    for (const pair of pairsOf(relayed)) assert.match(pair, /\b(bream|cod)\b/);
    for (const path of paths) assert.equal(typeof path['relayedMs'], isRelayed(path) ? 'undefined' : 'number');
    const detours = numbers(summary['relayed']);
    assert.deepEqual([detours['pairs'], detours['direct']], [pairsOf(relayed).size, pairsOf(others).size]);
    assert.equal(detours['direct'], detours['pairs']);
  });

  it('prints a command by which another terminal joins, and ends in order on Ctrl-C', async () => {
    await using demo = startShoal('demo', '--keep', '--peers', '3', '--seconds', '1');
    const { command } = await demo.next('join');
    await demo.next('recovered');
    const visitor = spawn(`${String(command)} --json`, { cwd: root, shell: true, stdio: ['ignore', 'pipe', 'ignore'] });
    const left = once(visitor, 'exit');
    const seen: string[] = [];
    const found = (): number => seen.filter((line) => line.includes('"event":"found"')).length;
    const all = Promise.withResolvers<void>();
    const visit = (async () => {
      for await (const line of createInterface({ input: visitor.stdout })) {
        seen.push(line);
        // The one behind a NAT comes by peer exchange, later than those of the LAN.
        if (found() === 3) all.resolve();
      }
    })();
    const { what, name } = await demo.next('visitor');
    assert.equal(what, 'found');
    assert.match(String(name), /^visitor-\d+$/);
    await Promise.race([all.promise, visit]);
    // Once the visitor is lost again it was there all the while between.
    const { code, events } = await demo.interrupt();
    assert.equal(code, 0);
    const summary = events.at(-1)!;
    assert.deepEqual([summary['event'], summary['peers'], summary['lost']], ['summary', 3, 0]);
    assert.equal(events.filter(({ event, nat }) => event === 'peer' && nat === 'simulated NAT').length, 1);

    assert.deepEqual(await left, [0, null]);
    await visit;
    assert.match(seen.at(-1)!, /"event":"alone"/);
    assert.equal(found(), 3);
  });

  it('refuses what it cannot join', async () => {
    assertFails(await shoal(['demo', '--join', '127.0.0.1:5000']), 2, /expected the address that `shoal demo` prints/);
    assertFails(await shoal(['demo', '--peers', '2']), 2, /Expected a whole number from 3 to 12/);
  });
});
