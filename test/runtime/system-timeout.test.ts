import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { systemTimeout } from '../../src/runtime/system-clock.ts';

/** Resolves when all have fired, with their names in that order. */
function order(set: (fired: (name: string) => void) => number): Promise<string[]> {
  return new Promise((resolve) => {
    const names: string[] = [];
    const count = set((name) => {
      names.push(name);
      if (names.length === count) resolve(names);
    });
  });
}

test('timeouts of one length fire in the order in which they were set, never too early', async () => {
  const startMs = performance.now();
  const names = await order((fired) => {
    for (const name of ['a', 'b', 'c']) systemTimeout(5, () => fired(name));
    systemTimeout(1, () => fired('short'));
    return 4;
  });
  deepEqual(names, ['short', 'a', 'b', 'c']);
  ok(performance.now() - startMs >= 5);
});

test('a cancelled timeout never fires, wherever it stands; its neighbours do', async () => {
  const names = await order((fired) => {
    const timers = ['a', 'b', 'c', 'd', 'e'].map((name) => systemTimeout(2, () => fired(name)));
    for (const at of [0, 2, 4, 2]) timers[at]!.cancel();
    return 2;
  });
  deepEqual(names, ['b', 'd']);
});

test('a callback may set, cancel and throw: the others fire all the same', async () => {
  const script = `
    import { systemTimeout } from './src/runtime/system-clock.ts';
    const names = [];
    process.on('uncaughtException', (error) => names.push(error.message));
    systemTimeout(2, () => { systemTimeout(2, () => names.push('set')); late.cancel(); throw new Error('thrown'); });
    const late = systemTimeout(2, () => names.push('never'));
    systemTimeout(2, () => names.push('last'));
    process.on('exit', () => console.log(names.join(' ')));
  `;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
  });
  equal(stdout.trim(), 'thrown last set');
});

test('a list without pending timeouts does not keep the process alive, one with pending timeouts does', () => {
  const script = `
    import { systemTimeout } from './src/runtime/system-clock.ts';
    for (let i = 0; i < 100; i++) systemTimeout(60_000 + i, () => {}).cancel();
    systemTimeout(60_000, () => {}).cancel();
    const kept = systemTimeout(60_000, () => {});
    kept.cancel();
    systemTimeout(3, () => console.log('fired'));
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  deepEqual([stdout.trim(), status], ['fired', 0]);
});

test('a timeout that was set while setTimeout was replaced keeps no later one from firing', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  systemTimeout(7, () => {});
  context.mock.timers.reset();
  deepEqual(await order((fired) => (systemTimeout(7, () => fired('later')), 1)), ['later']);
});
