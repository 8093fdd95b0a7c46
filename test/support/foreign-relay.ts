/** A relay as somebody else might write it, on any datagram swarm, with public types only. It proves nothing: what is above it seals. */
import { type Addr, parsePeerId, type PeerId, type Swarm, type TellHandler } from 'shoal';
import { concatBytes, decodeText, encodeText } from 'shoal/bytes';
import { makeAddr, SwarmOver, TellSlot } from 'shoal/swarm-kit';

export type ForeignAddr = Addr & { readonly id: PeerId };
const addrOf = (id: string): ForeignAddr => makeAddr<ForeignAddr>({ id: parsePeerId(id), text: id });
const idAt = (bytes: Uint8Array, at: number): string => decodeText(bytes.subarray(at, at + 43)) ?? '';

/** Passes on messages of sender 43 ‖ receiver 43 ‖ payload to where the receiver was heard last. */
export function serveForeignRelay<A extends Addr>(swarm: Swarm<A>, places: Map<string, A> = new Map()): void {
  swarm.listen(({ src, payload }) => {
    const place = places.set(idAt(payload, 0), src).get(idAt(payload, 43));
    if (place !== undefined) void swarm.tell(place, payload);
  });
}
export class ForeignRelaySwarm<A extends Addr> extends SwarmOver<A, ForeignAddr> {
  readonly #tells: TellSlot<ForeignAddr> = new TellSlot({ realm: this.realm, counters: this.counts });
  readonly #ends: readonly [own: ForeignAddr, relay: A];
  constructor(inner: Swarm<A>, relay: A, id: PeerId) {
    super(inner, 'foreign', {});
    this.#ends = [addrOf(id), relay];
    inner.listen(({ payload: all }) => {
      this.#tells.deliver({ src: addrOf(idAt(all, 0)), dst: this.#ends[0], payload: all.slice(86) });
    });
    void inner.tell(relay, encodeText(id)); // Makes itself known.
  }
  localAddrs = (): readonly ForeignAddr[] => (this.latch.isClosed ? [] : [this.#ends[0]]);
  parseAddr = (text: string): ForeignAddr => addrOf(text);
  protected mtuTo = (): number => this.inner.mtu(this.#ends[1]) - 86;
  protected sendTell = ({ id }: ForeignAddr, payload: Uint8Array): Promise<void> =>
    this.inner.tell(this.#ends[1], concatBytes(encodeText(this.#ends[0].id + id), payload));
  listen = (handler: TellHandler<ForeignAddr>): Disposable => this.#tells.listen(handler);
  protected describeLayer = (): { limits: Record<string, number> } => ({ limits: {} });
  protected release = (): void => this.#tells.clear();
}
