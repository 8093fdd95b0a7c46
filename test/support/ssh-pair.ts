/** Two SSH machines that talk to each other without I/O, at one instant unless the test moves it. */

import { type Bytes, concatBytes } from '../../src/base/bytes.ts';
import type { PublicKey } from '../../src/core/secure.ts';
import type { SshTransportEvent, SshTransportOptions } from '../../src/protocols/ssh/transport-options.ts';
import { SshTransport } from '../../src/protocols/ssh/transport.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** One side. */
export class SshSide {
  readonly transport: SshTransport;
  readonly events: SshTransportEvent[] = [];
  /** Payloads of the layer above that have come. */
  readonly payloads: Bytes[] = [];
  /** What this side has sent and nobody has taken. */
  readonly sent: Bytes[] = [];
  /** What is said about a proven key. @default it is admitted */
  judge: (publicKey: PublicKey) => boolean = () => true;
  nowMs = 0;

  constructor(end: 'client' | 'server', key: number, options: Partial<SshTransportOptions> = {}) {
    const seeded = createSeededRandom(key + 1);
    this.transport = new SshTransport(
      { end, signer: testKey(key), random: (bytes) => seeded.bytes(bytes), ...options },
      this.nowMs,
    );
  }

  /** Takes what the machine has to say. */
  poll(): void {
    for (let output = this.transport.poll(); output.type !== 'wait'; output = this.transport.poll()) {
      if (output.type === 'transmit') this.sent.push(...output.transmit);
      else {
        this.events.push(output.event);
        if (output.event.type !== 'proven') continue;
        if (this.judge(output.event.publicKey)) this.transport.admit(this.nowMs);
        else this.transport.disconnect(14, 'refused');
      }
    }
  }

  receive(bytes: Bytes): void {
    this.transport.push(bytes, this.nowMs);
    this.goOn();
  }

  goOn(): void {
    this.poll();
    for (let next = this.transport.next(this.nowMs); next !== undefined; next = this.transport.next(this.nowMs)) {
      if (next !== 'handled') this.payloads.push(next);
      this.poll();
    }
  }

  /** All bytes that wait to be sent. */
  take(): Bytes {
    this.poll();
    return concatBytes(...this.sent.splice(0));
  }

  /** How it has ended. */
  get closed(): (SshTransportEvent & { readonly type: 'closed' })['closed'] | undefined {
    return this.events.find((event) => event.type === 'closed')?.closed;
  }
}

/** Passes bytes until neither side has any. @param change - what becomes of bytes on their way */
export function converse(
  client: SshSide,
  server: SshSide,
  change: (bytes: Bytes, from: SshSide) => Bytes = (bytes) => bytes,
): void {
  for (let rounds = 0; rounds < 100; rounds++) {
    const [ofClient, ofServer] = [client.take(), server.take()];
    if (ofClient.length + ofServer.length === 0) return;
    if (ofClient.length > 0) server.receive(change(ofClient, client));
    if (ofServer.length > 0) client.receive(change(ofServer, server));
  }
  throw new Error('the machines never stop talking');
}

/** Two sides that are connected. */
export function sshPair(
  options: Partial<SshTransportOptions> = {},
  ofServer: Partial<SshTransportOptions> = options,
): { readonly client: SshSide; readonly server: SshSide } {
  const [client, server] = [new SshSide('client', 0, options), new SshSide('server', 1, ofServer)];
  converse(client, server);
  return { client, server };
}
