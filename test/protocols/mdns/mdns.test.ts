/** Multicast DNS without I/O: probing, announcing, answering, looking, in the times of RFC 6762. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { Mdns, type MdnsEvent, type MdnsTransmit } from '../../../src/protocols/mdns/mdns.ts';
import {
  decodeMdns,
  DNS_TYPE,
  type DnsMessage,
  type DnsRecord,
  encodeMdns,
  encodeName,
  srvData,
} from '../../../src/protocols/mdns/message.ts';
import type { MdnsService } from '../../../src/protocols/mdns/records.ts';

const TYPE = '_shoal._udp.local';

/** A message that was sent, and when. */
interface Sent extends DnsMessage {
  readonly atMs: number;
  readonly transmit: MdnsTransmit;
}

/** Hosts in one network: what one multicasts all others hear, and it itself. */
class Network {
  readonly hosts: Host[] = [];
  now = 0;

  /** Lets time pass, event by event. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = Math.min(...this.hosts.map(({ dueMs }) => dueMs));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      for (const host of this.hosts) host.wake();
    }
    this.now = end;
  }
}

class Host {
  readonly network: Network;
  readonly machine: Mdns;
  readonly ip: string;
  readonly sent: Sent[] = [];
  readonly events: MdnsEvent[] = [];
  service: MdnsService | undefined;
  isCut = false;
  dueMs = Infinity;

  constructor(network: Network, n: number, service?: Partial<MdnsService>) {
    this.network = network;
    this.ip = `192.0.2.${n}`;
    this.service = { port: 5000 + n, txt: ['v=1', `n=${n}`], ips: [this.ip], ...service };
    const random = createSeededRandom(n);
    this.machine = new Mdns(network.now, {
      serviceType: TYPE,
      random: (length) => random.bytes(length),
      service: () => this.service,
    });
    network.hosts.push(this);
  }

  join(): this {
    this.machine.setInterfaces(this.network.now, [{ name: 'eth0', networks: 'a' }]);
    this.flush();
    return this;
  }

  wake(): void {
    if (this.dueMs > this.network.now) return;
    this.machine.handleTimeout(this.network.now);
    this.flush();
  }

  hear(message: DnsMessage, ip = '192.0.2.200', port = 5353): void {
    this.handle(encodeMdns(message), ip, port);
  }

  handle(bytes: Uint8Array, ip: string, port: number): void {
    this.machine.handleDatagram(this.network.now, { ip, port }, 'eth0', bytes);
    this.flush();
  }

  flush(): void {
    for (;;) {
      const next = this.machine.poll();
      if (next.type === 'wait') {
        this.dueMs = next.until ?? Infinity;
        return;
      }
      if (next.type === 'event') this.events.push(next.event);
      else {
        const { transmit } = next;
        this.sent.push({ ...decodeMdns(transmit.bytes)!, atMs: this.network.now, transmit });
        if (transmit.to !== undefined || this.isCut) continue;
        for (const host of this.network.hosts) {
          if (!host.isCut) host.handle(transmit.bytes, this.ip, 5353);
        }
      }
    }
  }

  get probes(): Sent[] {
    return this.sent.filter(({ authorities }) => authorities.length > 0);
  }

  get responses(): Sent[] {
    return this.sent.filter(({ isResponse }) => isResponse);
  }

  get queries(): Sent[] {
    return this.sent.filter(({ isResponse, authorities }) => !isResponse && authorities.length === 0);
  }

  get found(): string[] {
    return this.events.flatMap((event) => (event.type === 'found' ? [event.label] : []));
  }
}

const empty = {
  id: 0,
  isResponse: false,
  isTruncated: false,
  questions: [],
  answers: [],
  authorities: [],
  additionals: [],
};
const typesOf = (records: readonly DnsRecord[]): number[] => records.map(({ type }) => type);
const ask = (name: string, type: number, wantsUnicast = false): DnsMessage => ({
  ...empty,
  questions: [{ name, type, wantsUnicast }],
});
const pointer = (label: string, ttlS: number): DnsRecord => ({
  name: TYPE,
  type: DNS_TYPE.PTR,
  isUnique: false,
  ttlS,
  data: encodeName(`${label}.${TYPE}`),
});

/** An announced host, whose messages so far are forgotten. */
function announced(service?: Partial<MdnsService>): { network: Network; host: Host; name: string } {
  const network = new Network();
  const host = new Host(network, 1, service).join();
  network.advance(10_000);
  host.sent.length = 0;
  return { network, host, name: `${host.machine.label}.${TYPE}` };
}

describe('a responder', () => {
  it('probes three times, 250 ms apart, after at most 250 ms, then announces twice, one second apart', () => {
    const network = new Network();
    const host = new Host(network, 1).join();
    network.advance(5000);
    const [first, second, third, ...more] = host.probes.map(({ atMs }) => atMs);
    assert.ok(first! <= 250);
    assert.deepEqual([second! - first!, third! - second!, more], [250, 250, []]);
    assert.deepEqual(
      host.responses.map(({ atMs }) => atMs - third!),
      [250, 1250],
    );
    const [{ questions, authorities }] = host.probes as [Sent];
    assert.deepEqual(
      questions.map(({ name, type }) => [name, type]),
      [
        [`${host.machine.label}.${TYPE}`, 255],
        [`${host.machine.label}.local`, 255],
      ],
    );
    assert.deepEqual(typesOf(authorities), [DNS_TYPE.SRV, DNS_TYPE.A]);
    const [{ answers }] = host.responses as [Sent];
    assert.deepEqual(
      answers.map(({ type, isUnique, ttlS }) => [type, isUnique, ttlS]),
      [
        [DNS_TYPE.PTR, false, 4500],
        [DNS_TYPE.SRV, true, 120],
        [DNS_TYPE.TXT, true, 4500],
        [DNS_TYPE.A, true, 120],
        [DNS_TYPE.PTR, false, 4500],
      ],
    );
  });

  it('answers for the type after 20 to 120 ms, with everything else; for unique records at once', () => {
    const { network, host, name } = announced();
    const askedMs = network.now;
    host.hear(ask(TYPE.toUpperCase(), DNS_TYPE.PTR));
    assert.equal(host.responses.length, 0);
    network.advance(200);
    const [answer] = host.responses as [Sent];
    assert.ok(answer.atMs - askedMs >= 20 && answer.atMs - askedMs <= 120);
    assert.deepEqual(
      [typesOf(answer.answers), typesOf(answer.additionals)],
      [[DNS_TYPE.PTR], [DNS_TYPE.SRV, DNS_TYPE.TXT, DNS_TYPE.A]],
    );
    network.advance(2000);
    host.hear(ask(name, DNS_TYPE.SRV));
    network.advance(0);
    assert.deepEqual(typesOf(host.responses[1]!.answers), [DNS_TYPE.SRV]);
    host.hear(ask('_services._dns-sd._udp.local', DNS_TYPE.PTR));
    network.advance(200);
    assert.equal(host.responses.length, 3);
    host.hear(ask('_other._udp.local', DNS_TYPE.PTR));
    network.advance(2000);
    assert.equal(host.responses.length, 3);
  });

  it('keeps silent for who knows the answer with half of its TTL, also when that comes in a second message', () => {
    const { network, host } = announced();
    const { label } = host.machine;
    host.hear({ ...ask(TYPE, DNS_TYPE.PTR), answers: [pointer(label, 2250)] });
    network.advance(1000);
    assert.equal(host.responses.length, 0);
    host.hear({ ...ask(TYPE, DNS_TYPE.PTR), isTruncated: true });
    network.advance(100);
    host.hear({ ...empty, answers: [pointer(label, 4000)] });
    network.advance(1000);
    assert.equal(host.responses.length, 0);
    host.hear({ ...ask(TYPE, DNS_TYPE.PTR), answers: [pointer(label, 2249)] });
    network.advance(200);
    assert.equal(host.responses.length, 1);
  });

  it('multicasts no record twice in a second, however often it is asked', () => {
    const { network, host, name } = announced();
    for (let i = 0; i < 100; i++) {
      host.hear(ask(TYPE, DNS_TYPE.PTR), `192.0.2.${i}`);
      host.hear(ask(name, DNS_TYPE.ANY), `192.0.2.${i}`);
      network.advance(50);
    }
    for (const type of [DNS_TYPE.PTR, DNS_TYPE.SRV, DNS_TYPE.TXT]) {
      const times = host.responses.filter(({ answers }) => typesOf(answers).includes(type)).map(({ atMs }) => atMs);
      assert.ok(times.length >= 4);
      for (const [i, atMs] of times.slice(1).entries()) assert.ok(atMs - times[i]! >= 1000);
    }
  });

  it('answers another port by unicast: its id, its question, TTLs of 10 s, and three bytes for one at most', () => {
    const { network, host, name } = announced({ txt: ['v=1', ...Array.from({ length: 4 }, () => 'x'.repeat(200))] });
    host.hear({ ...ask(TYPE, DNS_TYPE.PTR), id: 77 }, '192.0.2.9', 40_000);
    const [answer] = host.responses as [Sent];
    assert.deepEqual(answer.transmit.to, { ip: '192.0.2.9', port: 40_000 });
    assert.deepEqual([answer.id, answer.questions.length, answer.answers[0]!.ttlS], [77, 1, 10]);
    assert.ok(answer.transmit.bytes.length <= 3 * encodeMdns(ask(TYPE, DNS_TYPE.PTR)).length);
    host.hear(ask(name, DNS_TYPE.TXT), '192.0.2.9', 40_000);
    network.advance(2000);
    assert.equal(host.responses.length, 1);
  });

  it('answers who wants unicast by unicast if that is small enough, else to the group', () => {
    const { network, host, name } = announced({ txt: ['v=1', 'x'.repeat(250), 'y'.repeat(250)] });
    host.hear(ask(name, DNS_TYPE.SRV, true), '192.0.2.9');
    assert.deepEqual(host.responses[0]!.transmit.to, { ip: '192.0.2.9', port: 5353 });
    host.hear(ask(name, DNS_TYPE.TXT, true), '192.0.2.9');
    network.advance(10);
    assert.equal(host.responses[1]!.transmit.to, undefined);
  });

  it('says goodbye with TTL 0', () => {
    const { host } = announced();
    host.machine.close();
    host.flush();
    const [goodbye] = host.responses as [Sent];
    assert.deepEqual(typesOf(goodbye.answers), [DNS_TYPE.PTR, DNS_TYPE.SRV, DNS_TYPE.TXT, DNS_TYPE.A]);
    assert.ok(goodbye.answers.every(({ ttlS }) => ttlS === 0));
    assert.equal(host.dueMs, Infinity);
  });

  it('takes another name when somebody has its own, and probes again; its own messages are none', () => {
    const { network, host, name } = announced();
    const before = host.machine.label;
    const theirs = { name, type: DNS_TYPE.SRV, isUnique: true, ttlS: 120, data: srvData(9, 'other.local') };
    host.hear({ ...empty, isResponse: true, answers: [theirs] });
    assert.notEqual(host.machine.label, before);
    assert.deepEqual(host.events.at(-1), { type: 'renamed', label: host.machine.label });
    network.advance(5000);
    assert.equal(host.probes.length, 3);
    // A probe of somebody else for the same name, too.
    const probed = host.machine.label;
    host.hear({ ...ask(`${probed}.${TYPE}`, 255), authorities: [{ ...theirs, name: `${probed}.${TYPE}` }] });
    assert.notEqual(host.machine.label, probed);
    network.advance(5000);
    const last = host.machine.label;
    network.advance(60_000);
    assert.equal(host.machine.label, last);
  });

  it('somebody who contradicts every name makes it probe every five seconds, no more', () => {
    const { network, host } = announced();
    for (let i = 0; i < 200; i++) {
      const name = `${host.machine.label}.${TYPE}`;
      const theirs = { name, type: DNS_TYPE.SRV, isUnique: true, ttlS: 120, data: srvData(9, 'other.local') };
      host.hear({ ...empty, isResponse: true, answers: [theirs] }, `192.0.2.${i}`);
      network.advance(300);
    }
    assert.ok(host.probes.length < 60, String(host.probes.length));
  });

  it('announces again when something has changed, and nothing while there is nothing to announce', () => {
    const { network, host } = announced();
    host.service = { port: 7, txt: ['v=1'], ips: [host.ip] };
    host.machine.refresh(network.now);
    host.flush();
    network.advance(3000);
    assert.equal(host.responses.length, 2);
    const none = new Host(network, 9);
    none.service = undefined;
    none.join();
    network.advance(10_000);
    assert.deepEqual([none.probes.length, none.responses.length], [0, 0]);
    none.service = { port: 9, txt: [], ips: [none.ip] };
    none.machine.refresh(network.now);
    none.flush();
    network.advance(5000);
    assert.deepEqual([none.probes.length, none.responses.length], [3, 2]);
  });
});

describe('a browser', () => {
  it('asks after 20 to 120 ms, then after 1, 2, 4 … s, at most once an hour, and tells what it knows', () => {
    const network = new Network();
    const host = new Host(network, 1);
    host.service = undefined;
    host.join();
    network.advance(20_000_000);
    const times = host.queries.map(({ atMs }) => atMs);
    assert.ok(times[0]! >= 20 && times[0]! <= 120);
    const gaps = times.slice(1).map((atMs, i) => atMs - times[i]!);
    assert.deepEqual(gaps.slice(0, 5), [1000, 2000, 4000, 8000, 16_000]);
    assert.equal(gaps.at(-1), 3_600_000);
  });

  it('finds all others, each once at first, and hears from them again within 120 s', () => {
    const network = new Network();
    const hosts = Array.from({ length: 5 }, (_, i) => new Host(network, i + 1).join());
    network.advance(5000);
    for (const host of hosts) {
      const others = hosts.filter((other) => other !== host).map(({ machine }) => machine.label);
      assert.deepEqual([...new Set(host.found)].toSorted(), others.toSorted());
      const event = host.events.find(({ type }) => type === 'found');
      assert.ok(event?.type === 'found');
      assert.ok(hosts.some(({ ip, service }) => ip === event.ip && service!.port === event.port));
      host.events.length = 0;
    }
    network.advance(115_000);
    for (const host of hosts) assert.equal(new Set(host.found).size, 4);
    for (const host of hosts) assert.ok(host.events.every(({ type }) => type === 'found'));
  });

  it('forgets who says goodbye after a second, and who is silent for 120 s', () => {
    const network = new Network();
    const [a, b, c] = [1, 2, 3].map((n) => new Host(network, n).join()) as [Host, Host, Host];
    network.advance(5000);
    a.events.length = 0;
    b.machine.close();
    b.flush();
    network.advance(1000);
    assert.deepEqual(
      a.events.filter(({ type }) => type === 'gone'),
      [{ type: 'gone', interfaceName: 'eth0', label: b.machine.label }],
    );
    c.isCut = true;
    network.advance(125_000);
    const gone = a.events.flatMap((event) => (event.type === 'gone' ? [event.label] : []));
    assert.deepEqual(gone, [b.machine.label, c.machine.label]);
    // It asked at 80, 85, 90 and 95 % of the TTL.
    const asked = a.queries.filter(({ questions }) => questions.some(({ name }) => name.startsWith(c.machine.label)));
    assert.ok(asked.length >= 4 && asked.length <= 6, String(asked.length));
  });

  it('remembers 256 instances, with a share for each host, and asks for 16 at once', () => {
    const network = new Network();
    const host = new Host(network, 1);
    host.service = undefined;
    host.join();
    network.advance(3000);
    const honest = new Host(network, 2).join();
    network.advance(3000);
    assert.deepEqual([...new Set(host.found)], [honest.machine.label]);
    host.sent.length = 0;
    for (let i = 0; i < 100; i++) {
      const answers = Array.from({ length: 20 }, (_, j) => pointer(`bad-${i}-${j}`, 4500));
      host.hear({ ...empty, isResponse: true, answers }, '192.0.2.66');
    }
    network.advance(200_000);
    assert.equal(
      host.events.some((event) => event.type === 'gone' && event.label === honest.machine.label),
      false,
    );
    for (const { questions } of host.queries) assert.ok(questions.length <= 16);
    assert.ok(host.queries.length <= 30, String(host.queries.length));
  });

  it('TTLs of zero or a second do not make it ask all the time; instances of other types are none of its', () => {
    const network = new Network();
    const host = new Host(network, 1);
    host.service = undefined;
    host.join();
    network.advance(60_000);
    host.sent.length = 0;
    const strange = { ...pointer('x', 1), data: encodeName('x._other._udp.local') };
    host.hear({ ...empty, isResponse: true, answers: [strange, pointer('short', 1), pointer('a.b', 0)] });
    network.advance(60_000);
    assert.ok(host.queries.length <= 25, String(host.queries.length));
    assert.equal(host.events.length, 0);
  });

  it('what is malformed, comes from another port or too often is dropped', () => {
    const network = new Network();
    const host = new Host(network, 1).join();
    network.advance(5000);
    host.events.length = 0;
    host.handle(new Uint8Array(11), '192.0.2.7', 5353);
    host.hear({ ...empty, isResponse: true, answers: [pointer('x', 100)] }, '192.0.2.7', 40_000);
    assert.deepEqual(host.events, [
      { type: 'dropped', reason: 'malformed' },
      { type: 'dropped', reason: 'malformed' },
    ]);
    for (let i = 0; i < 1000; i++) host.hear(ask(TYPE, DNS_TYPE.PTR), '192.0.2.8');
    const limited = host.events.filter((event) => event.type === 'dropped' && event.reason === 'mdns.rate_limited');
    assert.equal(limited.length, 900);
    host.events.length = 0;
    network.advance(10_000);
    for (let i = 0; i < 10_000; i++) {
      network.advance(0.1);
      host.handle(new Uint8Array(11), `192.0.2.${i % 250}`, 5353);
    }
    const read = host.events.filter((event) => event.type === 'dropped' && event.reason === 'malformed');
    assert.ok(read.length <= 1001, String(read.length));
  });
});
