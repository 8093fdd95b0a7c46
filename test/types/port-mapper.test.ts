import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  type MappingProtocol,
  openPortMapper,
  type PortMapper,
  type PortMapperReport,
  type PortMapping,
} from 'shoal/nat';
import type { SocketAddress } from 'shoal/net';
import { foreignMapper } from '../support/foreign-mapper.ts';

const same = <T>(value: T): T => value;

describe('types of port mapping', () => {
  it('a mapper of somebody else is one, in 30 lines', async () => {
    await using mapper = foreignMapper(new Map([['udp 5000', { ip: '11.0.0.1', port: 7000 }]]));
    same<PortMapper>(mapper);
    const [mapped, none] = [5000, 5001].map((internalPort) => mapper.map({ protocol: 'udp', internalPort }));
    await mapped!.ready;
    assert.deepEqual([mapped!.external?.port, none!.external], [7000, undefined]);
    assert.match(none!.reason!, /by hand/);
    const file = new URL('../support/foreign-mapper.ts', import.meta.url);
    assert.ok(readFileSync(file, 'utf8').trimEnd().split('\n').length <= 30);
  });

  it('mappings and reports cannot be changed, and requests are checked', async () => {
    await using mapper = openPortMapper({ gateways: [], protocols: ['pcp'] });
    same<PortMapper>(mapper);
    same<PortMapperReport>(mapper.report);
    const read = (mapping: PortMapping): readonly [SocketAddress | undefined, MappingProtocol | undefined] => [
      mapping.external,
      mapping.via,
    ];
    // @ts-expect-error a mapping is read only
    const write = (mapping: PortMapping): unknown => (mapping.external = undefined);
    // @ts-expect-error the port must be said
    assert.throws(() => mapper.map({ protocol: 'udp' }), TypeError);
    // @ts-expect-error there are three protocols
    assert.throws(() => openPortMapper({ protocols: ['igd'] }), TypeError);
    assert.equal(typeof read, typeof write);
  });
});
