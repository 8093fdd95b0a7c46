import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';

import { wasmEngines } from '../../../src/protocols/quic/wasm-engine.ts';
import type { WasmExports } from '../../../src/protocols/quic/wasm-module.ts';
import { join, text } from './network.ts';

// Node's types do not describe WebAssembly; this much of it is used.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { readonly host: object }) => { readonly exports: Record<string, unknown> };
};

const module = new WebAssembly.Module(readFileSync(new URL('../../../src/quic/engine.wasm', import.meta.url)));

it('a turn enters the engine to take datagrams, for events that wait and to send, and never in vain', () => {
  const entries: string[] = [];
  const engines = wasmEngines((host) => {
    const { exports } = new WebAssembly.Instance(module, { host: { ...host } });
    const counted = Object.entries(exports).map(([name, value]): [string, unknown] => {
      if (typeof value !== 'function') return [name, value];
      return [
        name,
        (...args: unknown[]): unknown => {
          entries.push(name);
          return Reflect.apply(value, undefined, args);
        },
      ];
    });
    return Object.fromEntries(counted) as unknown as WasmExports;
  });
  const { net, alice, bob, there } = join({ alice: { engines } });
  net.pass(2000);
  const turn = (): string[] => {
    while (alice.endpoint.poll().type !== 'wait');
    return entries.splice(0);
  };
  turn();

  const stream = there.open('bidi')!;
  stream.write(text('ping'), true);
  assert.deepEqual(turn(), ['open', 'write', 'poll'], 'a message');
  assert.deepEqual(turn(), [], 'nothing to do');

  stream.setPriority(1);
  assert.deepEqual(turn(), ['set_priority', 'poll'], 'nothing to send after all');

  alice.react = (event) => {
    if (event.type === 'readable') event.stream.read();
  };
  bob.react = (event) => {
    if (event.type === 'stream') event.stream.write(text('pong'), true);
  };
  const { length } = alice.all('readable');
  there.open('bidi')!.write(text('ping'), true);
  entries.length = 0;
  assert.ok(net.run(() => alice.all('readable').length > length));
  const counts = new Map<string, number>();
  for (const entry of entries) counts.set(entry, (counts.get(entry) ?? 0) + 1);
  assert.equal(counts.get('next_timeout'), undefined);
  assert.deepEqual([counts.get('receive'), counts.get('events')], [1, 1]);
  assert.equal(counts.get('read'), alice.all('readable').length - length, 'a read that takes all is not repeated');
});
