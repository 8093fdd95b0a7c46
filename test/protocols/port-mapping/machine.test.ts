/** The machine by itself: what it sends when, and what it believes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../../src/base/bytes.ts';
import { PortMapperMachine, type PortMapperEvent } from '../../../src/protocols/port-mapping/machine.ts';
import type { MappingRoute, MappingTransmit } from '../../../src/protocols/port-mapping/types.ts';

const OWN = '192.168.1.2';
const ROUTER = { ip: '192.168.1.1', port: 5351 };
const route: MappingRoute = { family: 4, own: OWN, prefixLength: 24, interfaceName: 'eth0', gateway: ROUTER.ip };
const request = { protocol: 'udp', family: 4, internalPort: 5000, externalPort: 5000, lifetimeMs: 7_200_000 } as const;
const nonce = () => Uint8Array.from({ length: 12 }, (_, i) => i);

/** Takes all outputs. */
function take(machine: PortMapperMachine) {
  const sent: MappingTransmit[] = [];
  const events: PortMapperEvent[] = [];
  for (let output = machine.poll(); ; output = machine.poll()) {
    if (output.type === 'transmit') sent.push(output.transmit);
    else if (output.type === 'event') events.push(output.event);
    else return { sent, events, until: output.until };
  }
}

/** A NAT-PMP router with one mapping. */
function mapped() {
  const machine = new PortMapperMachine(['nat-pmp']);
  const id = machine.map(0, request, nonce())!;
  machine.setRoutes(0, [route]);
  machine.handleDatagram(1, OWN, ROUTER, address(100));
  machine.handleTimeout(250);
  take(machine);
  machine.handleDatagram(
    260,
    OWN,
    ROUTER,
    Uint8Array.of(0, 129, 0, 0, 0, 0, 0, 100, 0x13, 0x88, 0x13, 0x88, 0, 0, 0x1c, 0x20),
  );
  take(machine);
  return { machine, id };
}

function address(epoch: number, last = 1): Uint8Array {
  return Uint8Array.of(0, 128, 0, 0, 0, 0, epoch >> 8, epoch & 255, 11, 0, 0, last);
}

const search = (location: string) =>
  encodeText(
    `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: ${location}\r\n\r\n`,
  );

describe('the machine of port mapping', () => {
  it('asks all three at once, repeats, and has given up after 3 s', () => {
    const machine = new PortMapperMachine();
    const id = machine.map(0, request, nonce())!;
    assert.deepEqual(take(machine), { sent: [], events: [], until: 3000 }, 'nothing before it knows the routers');
    machine.setRoutes(0, [route]);
    const times: string[] = [];
    for (let now = 0; now <= 4000;) {
      const { sent, until } = take(machine);
      const pcp = sent.filter(({ to, bytes }) => to.port === 5351 && bytes[0] === 2).length;
      const natPmp = sent.filter(({ to, bytes }) => to.port === 5351 && bytes[0] === 0).length;
      const ssdp = sent.filter(({ to }) => to.port === 1900).length;
      if (sent.length > 0) times.push(`${now}: ${pcp} ${natPmp} ${ssdp}`);
      if (until === undefined || until > 4000) break;
      now = until;
      machine.handleTimeout(now);
    }
    assert.deepEqual(times, ['0: 1 1 10', '250: 1 1 0', '400: 0 0 10', '750: 1 1 0', '1200: 0 0 12', '1750: 1 1 0']);
    assert.ok(machine.services.every(({ state, failure }) => state === 'absent' && failure === 'no_answer'));
    assert.equal(machine.view(id)?.failure, 'no_answer');
  });

  it('looks again later, with longer pauses', () => {
    const machine = new PortMapperMachine(['pcp']);
    machine.map(0, request, nonce());
    machine.setRoutes(0, [route]);
    const begun: number[] = [];
    let last = -Infinity;
    for (let now = 0; now < 3_600_000;) {
      const { sent, until } = take(machine);
      if (sent.length > 0 && now - last > 3000) begun.push(now);
      if (sent.length > 0) last = now;
      now = until!;
      machine.handleTimeout(now);
    }
    const pauses = begun.slice(1).map((at, i) => Math.round((at - begun[i]!) / 1000));
    assert.deepEqual(pauses, [18, 33, 63, 123, 243, 483, 903, 903, 603].slice(0, pauses.length));
    assert.ok(pauses.length >= 7);
  });

  it('believes only the address and the port of the router', () => {
    for (const from of [
      { ip: '192.168.1.9', port: 5351 },
      { ip: ROUTER.ip, port: 5352 },
      { ip: '11.0.0.1', port: 5351 },
    ]) {
      const machine = new PortMapperMachine(['nat-pmp']);
      machine.setRoutes(0, [route]);
      assert.equal(machine.handleDatagram(1, OWN, from, address(1)), false);
      assert.equal(machine.handleAnnouncement(1, from, address(1)), false);
      assert.equal(machine.services[0]?.state, 'probing');
    }
    const machine = new PortMapperMachine(['nat-pmp']);
    machine.setRoutes(0, [route]);
    assert.equal(machine.handleDatagram(1, '10.0.0.2', ROUTER, address(1)), false, 'on another socket');
  });

  it('believes an answer of PCP only with the nonce, the protocol and the port that were asked for', () => {
    for (const [at, expected] of [
      [undefined, 'pcp'],
      [30, undefined],
      [36, undefined],
      [41, undefined],
    ] as const) {
      const machine = new PortMapperMachine(['pcp']);
      const id = machine.map(0, request, nonce())!;
      machine.setRoutes(0, [route]);
      const announced = new Uint8Array(24);
      announced.set([2, 128]);
      machine.handleDatagram(1, OWN, ROUTER, announced);
      machine.handleTimeout(250);
      const asked = take(machine).sent.at(-1)!.bytes;
      const answer = Uint8Array.from(asked);
      answer[1] = 129;
      answer.fill(0, 8, 24);
      answer.set([11, 0, 0, 1], 56);
      if (at !== undefined) answer[at]! ^= 1;
      machine.handleDatagram(260, OWN, ROUTER, answer);
      assert.equal(machine.view(id)?.via, expected, `byte ${at}`);
    }
  });

  it('takes answers to searches from its own networks only, and descriptions from who answers', () => {
    const machine = new PortMapperMachine(['upnp']);
    machine.setRoutes(0, [route]);
    take(machine);
    for (const [ip, location] of [
      ['11.0.0.9', 'http://11.0.0.9:80/x'],
      ['192.168.2.1', 'http://192.168.2.1:80/x'],
      ['192.168.1.1', 'http://192.168.1.7:80/x'],
      ['192.168.1.1', 'http://11.0.0.9:80/x'],
      ['192.168.1.1', 'http://127.0.0.1:80/x'],
    ] as const) {
      assert.equal(machine.handleDatagram(1, OWN, { ip, port: 1900 }, search(location)), false);
    }
    assert.equal(machine.foreignAnswers, 5);
    assert.deepEqual(take(machine).sent, []);
    for (let i = 0; i < 9; i++) {
      machine.handleDatagram(1, OWN, { ip: '192.168.1.1', port: 1900 }, search(`http://192.168.1.1:80/${i}`));
    }
    const { sent } = take(machine);
    assert.equal(sent.length, 4, 'four descriptions at most');
    assert.ok(sent.every(({ to }) => to.ip === '192.168.1.1'));
  });

  it('prefers the known router to another host that answers faster, for 200 ms', () => {
    const xml =
      '<r><device><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/c</controlURL></service></device></r>';
    for (const [routerMs, expected] of [
      [190, '192.168.1.1'],
      [210, '192.168.1.66'],
    ] as const) {
      const machine = new PortMapperMachine(['upnp']);
      machine.setRoutes(0, [route]);
      take(machine);
      machine.handleDatagram(1, OWN, { ip: '192.168.1.66', port: 1900 }, search('http://192.168.1.66:80/x'));
      machine.handleHttp(2, 1, { status: 200, body: encodeText(xml) });
      take(machine);
      for (const now of [100, 200]) if (now < routerMs) machine.handleTimeout(now);
      machine.handleDatagram(routerMs - 1, OWN, { ip: '192.168.1.1', port: 1900 }, search('http://192.168.1.1:80/x'));
      machine.handleHttp(routerMs, 2, { status: 200, body: encodeText(xml) });
      const [service] = machine.services;
      assert.deepEqual([service?.state, service?.gateway], ['found', expected]);
    }
  });

  it('asks once a second at most, however often a restart is announced', () => {
    const { machine, id } = mapped();
    let asked = 0;
    for (let i = 0; i < 5000; i++) {
      const now = 10_000 + i;
      machine.handleAnnouncement(now, ROUTER, address(i % 2 === 0 ? 5000 : 1));
      machine.handleTimeout(now);
      asked += take(machine).sent.filter(({ bytes }) => bytes[1] === 1).length;
    }
    assert.ok(asked >= 5 && asked <= 20, `${asked} requests in 5 s`);
    assert.notEqual(machine.view(id)?.grant, undefined);
  });

  it('looks for routers every 4 s at most, however often one announces itself', () => {
    const machine = new PortMapperMachine();
    machine.map(0, request, nonce());
    machine.setRoutes(0, [route]);
    for (let now = 0; now <= 3000; now += 50) machine.handleTimeout(now);
    take(machine);
    let sent = 0;
    for (let now = 10_000; now < 22_000; now++) {
      machine.handleAnnouncement(now, ROUTER, Uint8Array.of(0, 128, 0, 1, 0, 0, 0, 0));
      // The forged word that there is no PCP ends its probe at once.
      machine.handleTimeout(now);
      sent += take(machine).sent.length;
    }
    assert.ok(sent > 0 && sent < 120, `${sent} datagrams in 12 s`);
  });

  it('takes the address outside from announcements', () => {
    const { machine, id } = mapped();
    machine.handleAnnouncement(10_000, ROUTER, address(110, 9));
    assert.deepEqual(take(machine).events, [{ type: 'changed', mapping: id }]);
    assert.equal(machine.view(id)?.grant?.external.ip, '11.0.0.9');
  });

  it('an announcement in another protocol has it ask, at most once a second', () => {
    const { machine } = mapped();
    const announced = new Uint8Array(24);
    announced.set([2, 128]);
    let asked = 0;
    for (let i = 0; i < 3000; i++) {
      const now = 10_000 + i;
      machine.handleAnnouncement(now, ROUTER, announced);
      machine.handleTimeout(now);
      const { sent } = take(machine);
      asked += sent.length;
      if (sent.length > 0) machine.handleDatagram(now, OWN, ROUTER, address(100 + Math.floor(now / 1000)));
    }
    assert.ok(asked >= 2 && asked <= 4, `${asked} questions in 3 s`);
  });

  it('a router that knows only the other protocol says so', () => {
    const machine = new PortMapperMachine(['pcp', 'nat-pmp']);
    machine.setRoutes(0, [route]);
    machine.handleDatagram(1, OWN, ROUTER, Uint8Array.of(0, 128, 0, 1, 0, 0, 0, 9));
    assert.deepEqual(
      machine.services.map(({ state, failure }) => [state, failure]),
      [
        ['absent', 'unsupported'],
        ['probing', undefined],
      ],
    );
    const other = new PortMapperMachine(['pcp', 'nat-pmp']);
    other.setRoutes(0, [route]);
    const unsupported = new Uint8Array(24);
    unsupported.set([2, 128, 0, 1]);
    other.handleDatagram(1, OWN, ROUTER, unsupported);
    assert.deepEqual(
      other.services.map(({ state }) => state),
      ['probing', 'absent'],
    );
  });

  it('holds at most 64 mappings and 8 routes', () => {
    const machine = new PortMapperMachine(['pcp']);
    for (let i = 0; i < 64; i++)
      assert.notEqual(machine.map(0, { ...request, internalPort: i + 1 }, nonce()), undefined);
    assert.equal(machine.map(0, request, nonce()), undefined);
    machine.setRoutes(
      0,
      Array.from({ length: 20 }, (_, i) => ({ ...route, gateway: `192.168.1.${i + 3}` })),
    );
    assert.equal(machine.services.length, 8);
  });
});
