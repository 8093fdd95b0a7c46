import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertFails, shoal, startShoal } from './command.ts';

describe('shoal dht', () => {
  it('joins, puts, gets, announces, looks up and shows the table', async () => {
    const own = ['--network-name', 'cli-dht', '--bind', '127.0.0.1:0'];
    await using first = startShoal('dht', 'join', ...own);
    const { command, id } = await first.next('dht');
    const [, contact] = /--contact '([^']+)'/.exec(String(command))!;
    await first.next('dht_serving');
    const more = [...own, '--contact', contact!];
    await using second = startShoal('dht', 'announce', 'a file', ...more);
    const announced = await second.next('dht_announced');
    assert.ok(Number(announced['nodes']) >= 1);
    await second.next('dht_serving');
    const put = await shoal(['dht', 'put', 'color', 'blue', ...more, '--json']);
    assert.equal(put.code, 0, put.stderr);
    assert.ok(Number(put.events[0]!['nodes']) >= 1);
    const [got, table, missing, record, provided] = await Promise.all([
      shoal(['dht', 'get', 'color', ...more]),
      shoal(['dht', 'table', ...more, '--json']),
      shoal(['dht', 'get', 'shape', ...more]),
      shoal(['dht', 'lookup', String(announced['id']), ...more, '--json']),
      shoal(['dht', 'lookup', '--provided', 'a file', ...more, '--json']),
    ]);
    assert.match(got.stdout, /^blue\n {2}get: \d+ hops/);
    assert.ok(
      table.events.some((event) => event['event'] === 'dht_contact' && event['id'] === id),
      table.stderr,
    );
    assertFails(missing, 1, /There is no value for shape/);
    assert.equal(record.events[0]!['id'], announced['id'], record.stderr);
    assert.equal(provided.events[0]!['id'], announced['id'], provided.stderr);
    assert.equal((await second.interrupt()).code, 0);
    assert.equal((await first.interrupt()).code, 0);
  });

  it('refuses what it cannot do', async () => {
    assertFails(await shoal(['dht', 'fly']), 2, /Allowed choices are join, put/);
    assertFails(await shoal(['dht', 'put', 'x']), 2, /Expected: shoal dht put KEY VALUE/);
    assertFails(await shoal(['dht', 'lookup', 'x']), 2, /Cannot look up: Cannot parse PeerID/);
    assertFails(await shoal(['dht', 'table', '--bind', '127.0.0.1:0']), 1, /No node of the DHT answered/);
  });
});
