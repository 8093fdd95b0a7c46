import assert from 'node:assert/strict';
import { it } from 'node:test';
import { AddressTable } from '../../../src/protocols/quic/address-table.ts';

const add = (table: AddressTable<string>, key: string): number => table.numberOf(key, () => `<${key}>`);

it('an address has one number, and a number one address', () => {
  const table = new AddressTable<string>();
  const one = add(table, 'one');
  const two = add(table, 'two');
  assert.notEqual(one, two);
  assert.equal(add(table, 'one'), one);
  assert.deepEqual([table.get(one), table.get(two), table.get(99)], ['<one>', '<two>', undefined]);
});

it('forgets the longest unused, and never what is retained', () => {
  const table = new AddressTable<string>(2);
  const one = add(table, 'one');
  table.retain(one);
  table.retain(one);
  const two = add(table, 'two');
  const three = add(table, 'three');
  add(table, 'two');
  add(table, 'four');
  assert.deepEqual([table.get(one), table.get(two), table.get(three)], ['<one>', '<two>', undefined]);
  assert.equal(table.size, 3);
  table.release(one);
  add(table, 'five');
  assert.equal(table.get(one), '<one>');
  table.release(one);
  table.release(one);
  add(table, 'six');
  add(table, 'seven');
  assert.equal(table.get(one), undefined);
  assert.equal(table.size, 2);
  assert.notEqual(add(table, 'one'), one);
});

it('retaining and releasing unknown numbers does nothing', () => {
  const table = new AddressTable<string>();
  table.retain(7);
  table.release(7);
  assert.equal(table.size, 0);
});
