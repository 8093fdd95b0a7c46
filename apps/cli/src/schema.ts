/**
 * Every event of `--json`, with its fields: what `shoal schema` prints, docs/cli.md explains, and the tests hold all
 * output against. Fields are only added within a version; a field that goes or changes its meaning makes another one.
 */

/** The version of the whole. */
export const SCHEMA_VERSION = 2;

/** JSON types of fields; `?` behind one says that it may be absent. */
type FieldType = 'string' | 'number' | 'boolean' | 'object' | 'array';
type Fields = Readonly<Record<string, FieldType | `${FieldType}?`>>;

/** What one kind of event has, and which commands show it. */
export interface EventSchema {
  readonly commands: readonly string[];
  readonly fields: Fields;
}

const quantiles = { minMs: 'number', medianMs: 'number', p99Ms: 'number' } as const;
const measured = {
  stack: 'string',
  inFlight: 'number',
  bytes: 'number',
  perSecond: 'number',
  bytesPerSecond: 'number',
  lost: 'number',
  ...quantiles,
} as const;
const message = { src: 'string', dst: 'string', payload: 'string' } as const;

/** By name. `lost` and `closed` mean different things in different commands, so each lists what any of them has. */
export const EVENTS: Readonly<Record<string, EventSchema>> = {
  key: { commands: ['keygen'], fields: { id: 'string', pem: 'string?', file: 'string?' } },
  id: { commands: ['id'], fields: { id: 'string', sha3: 'string', ssh: 'string', algorithm: 'string' } },
  listening: { commands: ['listen', 'tracker'], fields: { addr: 'string?', url: 'string?' } },
  token: { commands: ['tracker'], fields: { token: 'string' } },
  infra: {
    commands: ['infra'],
    fields: { id: 'string', addrs: 'array', url: 'string', https: 'string?', options: 'object', paste: 'string' },
  },
  tell: { commands: ['listen'], fields: message },
  ask: { commands: ['listen'], fields: message },
  closed: {
    commands: ['listen', 'send', 'pipe', 'nat', 'peers', 'relay', 'dht', 'tracker', 'infra'],
    fields: {
      received: 'number?',
      answered: 'number?',
      receivedBytes: 'number?',
      dropped: 'number?',
      servedBytes: 'number?',
      sentBytes: 'number?',
    },
  },
  told: { commands: ['tell'], fields: { dst: 'string', bytes: 'number' } },
  answer: { commands: ['ask'], fields: { src: 'string', payload: 'string', ms: 'number' } },
  pong: { commands: ['ping'], fields: { seq: 'number', src: 'string', ms: 'number' } },
  lost: {
    commands: ['ping', 'demo'],
    fields: { seq: 'number?', dst: 'string?', name: 'string?', id: 'string?' },
  },
  summary: {
    commands: ['ping', 'demo'],
    fields: {
      sent: 'number?',
      received: 'number?',
      lost: 'number',
      minMs: 'number?',
      medianMs: 'number?',
      p99Ms: 'number?',
      ms: 'number?',
      transfer: 'object?',
      peers: 'number?',
      processes: 'number?',
      killed: 'number?',
      messages: 'object?',
      bytes: 'object?',
      tells: 'object?',
      asks: 'object?',
      repeated: 'number?',
      toTheKilled: 'number?',
      toVisitors: 'number?',
      sessions: 'number?',
      relayed: 'object?',
      tellEchoMs: 'object?',
      askMs: 'object?',
    },
  },
  latency: { commands: ['bench'], fields: measured },
  throughput: { commands: ['bench'], fields: measured },
  ticket: {
    commands: ['send'],
    fields: { ticket: 'string', name: 'string', files: 'number', bytes: 'number', leftOut: 'number?' },
  },
  delivered: { commands: ['send'], fields: { dst: 'string' } },
  receiving: {
    commands: ['receive'],
    fields: { name: 'string', kind: 'string', files: 'number', bytes: 'number', from: 'number' },
  },
  progress: {
    commands: ['send', 'receive'],
    fields: { bytes: 'number', total: 'number', bytesPerSecond: 'number', secondsLeft: 'number?' },
  },
  cut: { commands: ['receive'], fields: { reason: 'string' } },
  received: {
    commands: ['receive'],
    fields: { path: 'string', files: 'number', bytes: 'number', fetchedBytes: 'number', ms: 'number' },
  },
  pipe: { commands: ['pipe'], fields: { addr: 'string', command: 'string' } },
  connected: { commands: ['pipe'], fields: { peer: 'string' } },
  forwarding: { commands: ['pipe'], fields: { tcp: 'string' } },
  room: { commands: ['chat'], fields: { addr: 'string', members: 'number', command: 'string' } },
  joined: { commands: ['chat'], fields: { id: 'string', name: 'string' } },
  left: { commands: ['chat'], fields: { id: 'string', name: 'string' } },
  message: { commands: ['chat'], fields: { id: 'string', name: 'string', text: 'string' } },
  said: { commands: ['chat'], fields: { text: 'string', told: 'number' } },
  simulation: {
    commands: ['simulate'],
    fields: {
      name: 'string',
      seed: 'string',
      nodes: 'number',
      durationMs: 'number',
      isOk: 'boolean',
      failure: 'object?',
      traceHash: 'string',
      virtualMs: 'number',
      realMs: 'number',
      counts: 'object',
      attempts: 'object',
      distributions: 'object',
    },
  },
  simulation_run: {
    commands: ['simulate'],
    fields: {
      seed: 'string',
      nodes: 'number',
      durationMs: 'number',
      isOk: 'boolean',
      failure: 'string?',
    },
  },
  simulating: {
    commands: ['simulate'],
    fields: { virtualMs: 'number', durationMs: 'number', realMs: 'number', running: 'number', phase: 'string' },
  },
  seeds_passed: { commands: ['simulate'], fields: { from: 'number', seeds: 'number' } },
  replay: {
    commands: ['simulate'],
    fields: { isSame: 'boolean', traceHash: 'string', otherTraceHash: 'string', partBetweenMs: 'array?' },
  },
  nat_path: {
    commands: ['nat'],
    fields: {
      transport: 'string',
      family: 'number',
      observers: 'array',
      address: 'object?',
      mapping: 'object?',
      filtering: 'object?',
      hairpin: 'boolean?',
    },
  },
  nat: { commands: ['nat'], fields: { interfaces: 'array', summary: 'array' } },
  nat_gateway: {
    commands: ['nat'],
    fields: { gateway: 'string?', family: 'number', from: 'string', interfaceName: 'string', protocols: 'array' },
  },
  nat_mapping: {
    commands: ['nat'],
    fields: {
      transport: 'string',
      family: 'number',
      port: 'number',
      external: 'string?',
      via: 'string?',
      doubleNat: 'boolean',
      reason: 'string?',
    },
  },
  lan_peer: {
    commands: ['discover'],
    fields: { id: 'string', ip: 'string', interfaces: 'array', addrs: 'array', ms: 'number' },
  },
  discovered: { commands: ['discover'], fields: { peers: 'number' } },
  dht: { commands: ['dht'], fields: { id: 'string', addrs: 'array', command: 'string' } },
  dht_serving: { commands: ['dht'], fields: { contacts: 'number', published: 'number' } },
  dht_put: { commands: ['dht'], fields: { key: 'string', nodes: 'number', asked: 'number' } },
  dht_value: { commands: ['dht'], fields: { key: 'string', value: 'string', ttlMs: 'number', lookup: 'object' } },
  dht_announced: {
    commands: ['dht'],
    fields: { id: 'string', keys: 'number', nodes: 'number', asked: 'number', records: 'object' },
  },
  dht_record: {
    commands: ['dht'],
    fields: { id: 'string', addrs: 'array', issuedMs: 'number', expiresMs: 'number' },
  },
  dht_lookup: { commands: ['dht'], fields: { wanted: 'string', records: 'number', lookup: 'object' } },
  dht_contact: {
    commands: ['dht'],
    fields: { id: 'string', sharedBits: 'number', rttMs: 'number?', failures: 'number' },
  },
  dht_table: { commands: ['dht'], fields: { contacts: 'number', estimatedNodes: 'number?' } },
  peers: { commands: ['peers'], fields: { id: 'string', addrs: 'array', command: 'string' } },
  peer_connected: { commands: ['peers'], fields: { id: 'string', kind: 'string', path: 'object' } },
  peer_lost: { commands: ['peers'], fields: { id: 'string', reason: 'string' } },
  peer_path: { commands: ['peers'], fields: { id: 'string', path: 'object?', reason: 'string' } },
  peer_kind: { commands: ['peers'], fields: { id: 'string', kind: 'string' } },
  peer_unreachable: { commands: ['peers'], fields: { id: 'string', reason: 'string' } },
  peer_attack: {
    commands: ['peers'],
    fields: {
      source: 'string',
      signal: 'string',
      isProven: 'boolean',
      count: 'number',
      perMs: 'number',
      firstMs: 'number',
      lastMs: 'number',
      samples: 'array',
      times: 'number',
      ban: 'object?',
    },
  },
  peer_fault: { commands: ['peers'], fields: { source: 'string', text: 'string' } },
  peer_key_elsewhere: { commands: ['peers'], fields: { id: 'string?' } },
  peer_clock_differs: { commands: ['peers'], fields: { id: 'string', differenceMs: 'number' } },
  peer_relay: { commands: ['peers'], fields: { relay: 'string', state: 'string', reason: 'string?' } },
  peer_addrs: { commands: ['peers'], fields: { addrs: 'array' } },
  peer_lists: { commands: ['peers'], fields: { change: 'object' } },
  explained: {
    commands: ['explain'],
    fields: { id: 'string', remote: 'object?', state: 'string', path: 'object?', attempts: 'array?', help: 'array?' },
  },
  relaying: {
    commands: ['relay'],
    fields: {
      id: 'string',
      addrs: 'array',
      relays: 'array',
      maxPeers: 'number',
      bytesPerSecond: 'number',
      totalBytesPerSecond: 'number',
      maxMinutes: 'number',
    },
  },
  relayed: {
    commands: ['relay'],
    fields: { peers: 'array', guests: 'number', passedOn: 'number', passedBytes: 'number', drops: 'object' },
  },
  observing: { commands: ['nat'], fields: { addrs: 'array' } },
  join: { commands: ['demo'], fields: { addr: 'string', command: 'string' } },
  peer: { commands: ['demo'], fields: { name: 'string', pid: 'number', id: 'string', addrs: 'array', nat: 'string?' } },
  path: { commands: ['demo'], fields: { from: 'string', to: 'string', kind: 'string', relayedMs: 'number?' } },
  formed: { commands: ['demo'], fields: { peers: 'number', ms: 'number' } },
  transferred: {
    commands: ['demo'],
    fields: { from: 'string', to: 'string', bytes: 'number', ms: 'number', sha256: 'string' },
  },
  killed: { commands: ['demo'], fields: { name: 'string', pid: 'number', atMs: 'number' } },
  noticed: { commands: ['demo'], fields: { name: 'string', ms: 'number' } },
  recovered: { commands: ['demo'], fields: { name: 'string', id: 'string', pid: 'number', ms: 'number' } },
  visitor: { commands: ['demo'], fields: { what: 'string', name: 'string' } },
  keeping: { commands: ['demo'], fields: {} },
  found: { commands: ['demo'], fields: { name: 'string', id: 'string' } },
  stats: {
    commands: ['demo'],
    fields: {
      known: 'array',
      tells: 'number',
      receivedTells: 'number',
      echoes: 'number',
      asks: 'number',
      answers: 'number',
      medianMs: 'number?',
    },
  },
  alone: { commands: ['demo'], fields: {} },
};

/** The whole as JSON Schema (2020-12): one of the events, each with its fields. */
export function jsonSchema(): object {
  const each = Object.entries(EVENTS).map(([event, { fields, commands }]) => ({
    title: event,
    description: `shoal ${commands.join(', shoal ')}`,
    type: 'object',
    properties: {
      event: { const: event },
      ...Object.fromEntries(Object.entries(fields).map(([name, type]) => [name, { type: type.replace('?', '') }])),
    },
    required: ['event', ...Object.keys(fields).filter((name) => !fields[name]!.endsWith('?'))],
    additionalProperties: false,
  }));
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Lines of shoal --json',
    version: SCHEMA_VERSION,
    oneOf: each,
  };
}

/** What is wrong with an event by this schema; `undefined` when nothing is. */
export function faultOf(line: Readonly<Record<string, unknown>>): string | undefined {
  const { event, ...fields } = line;
  const schema = typeof event === 'string' ? EVENTS[event] : undefined;
  if (schema === undefined) return `no event is called ${String(event)}`;
  for (const name of Object.keys(fields)) if (!(name in schema.fields)) return `${String(event)} has no field ${name}`;
  for (const [name, type] of Object.entries(schema.fields)) {
    const value = fields[name];
    const found = Array.isArray(value) ? 'array' : typeof value;
    if (value === undefined ? !type.endsWith('?') : found !== type.replace('?', '')) {
      return `${String(event)}.${name} should be ${type}, is ${found}`;
    }
  }
  return undefined;
}
