/** One node of a memory realm. */

import { type AskOptions, type Asks, DEFAULT_ASK_TIMEOUT_MS } from '../../core/ask.ts';
import { type Bytes, copyMessage } from '../../base/bytes.ts';
import type { Counters, DropReason } from '../../core/counters.ts';
import type { Describes, LayerDescription } from '../../core/inspect.ts';
import { P2PError, Refusal, mtuError } from '../../core/errors.ts';
import { assertBytes, wholeNumber } from '../../base/checks.ts';
import type { AskHandler, TellHandler } from '../../core/message.ts';
import type { Realm } from '../../core/realm.ts';
import type { CallOptions, Closed, Swarm } from '../../core/swarm.ts';
import { bestAddr, TextAddrs } from '../../core/text-addrs.ts';
import { type Answer, AskSlot, type Serving } from '../../swarm-kit/ask-slot.ts';
import { CloseLatch } from '../../runtime/close-latch.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import { PendingBudget, type PendingLimits } from '../../swarm-kit/pending-budget.ts';
import { isPending, RESOLVED, rejection } from '../../runtime/promises.ts';
import { TellSlot } from '../../swarm-kit/tell-slot.ts';
import { type Wait, Waits, checkCall } from '../../runtime/waits.ts';
import { type MemoryAddr, assertMemoryAddr, parseMemoryAddr } from '../../net/memory/address.ts';
import type { MemoryRouter } from '../../net/memory/router.ts';

/** The default time limit of drains and other calls. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** A swarm over a {@link MemoryRouter}. */
export class MemorySwarm implements Swarm<MemoryAddr>, Asks<MemoryAddr>, Describes {
  /** Its address, also after it is closed. */
  readonly own: MemoryAddr;
  readonly realm: Realm;
  /** Packets in transit to this swarm. */
  incoming = 0;
  /** Packets in transit from this swarm. */
  outgoing = 0;
  readonly #router: MemoryRouter<MemorySwarm>;
  readonly #counters: CounterSet;
  readonly #tells: TellSlot<MemoryAddr>;
  readonly #asks: AskSlot<MemoryAddr>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #texts = new TextAddrs<MemoryAddr>(parseMemoryAddr);
  readonly #drainers = new Set<() => void>(); // Bounded by the pending drains.
  /** Notifies askers when this swarm ends. Bounded by the requests its handler is processing. */
  readonly #askers = new Set<() => void>();
  readonly #localAddrs: readonly MemoryAddr[];

  constructor(router: MemoryRouter<MemorySwarm>, addr: MemoryAddr, limits: PendingLimits = {}) {
    this.own = addr;
    this.realm = router.realm;
    this.#router = router;
    this.#localAddrs = [addr];
    const { realm } = router;
    const counters = new CounterSet('memory');
    this.#counters = counters;
    this.#tells = new TellSlot({ realm, counters, budget: new PendingBudget(limits) });
    this.#asks = new AskSlot({ realm, counters, budget: new PendingBudget(limits) });
    this.#waits = new Waits(realm);
    this.#latch = new CloseLatch({ realm, layer: 'memory', release: () => this.#release() });
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  localAddrs(): readonly MemoryAddr[] {
    return this.#latch.isClosed ? [] : this.#localAddrs;
  }

  get addr(): MemoryAddr {
    return bestAddr(this.localAddrs());
  }

  tryParseAddr(text: string): MemoryAddr | undefined {
    return this.#texts.tryParse(text);
  }

  parseAddr(text: string): MemoryAddr {
    return parseMemoryAddr(text);
  }

  mtu(dst: MemoryAddr | string): number {
    assertMemoryAddr(this.#texts.addrOf(dst));
    return this.#router.mtu;
  }

  maxRequestBytes(dst: MemoryAddr | string): number {
    return this.mtu(dst);
  }

  tell(dst: MemoryAddr | string, payload: Uint8Array, options?: CallOptions): Promise<void> {
    assertBytes(payload, 'payload');
    if (typeof dst === 'string') {
      const refused = (): void => this.#counters.countDrop('tell.unreachable');
      return this.#texts.call('tell', dst, (addr) => this.tell(addr, payload, options), refused);
    }
    assertMemoryAddr(dst);
    checkCall(options);
    const error = this.#refuse('tell', dst, payload, options);
    if (error !== undefined) {
      this.#counters.countDrop(P2PError.is(error.error) ? `tell.${error.error.code}` : 'tell.aborted');
      return rejection(error.error);
    }
    this.#counters.countSent(payload.length);
    const { transform } = this.#router;
    const message = { src: this.own, dst, payload: copyMessage(payload) };
    const sent = transform === undefined ? message : transform(message);
    if (sent === undefined) this.countLost('memory.transform');
    else {
      this.#router.route({
        from: this,
        to: sent.dst,
        payload: sent.payload,
        arrive: (receiver, arrived) => receiver.#tells.deliver({ src: sent.src, dst: sent.dst, payload: arrived }),
      });
    }
    return RESOLVED;
  }

  listen(handler: TellHandler<MemoryAddr>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('listen');
    return this.#tells.listen(handler);
  }

  ask(dst: MemoryAddr | string, request: Uint8Array, options?: AskOptions): Promise<Bytes> {
    assertBytes(request, 'request');
    if (typeof dst === 'string') return this.#texts.call('ask', dst, (addr) => this.ask(addr, request, options));
    assertMemoryAddr(dst);
    checkCall(options);
    const { mtu } = this.#router;
    const maxResponseBytes = wholeNumber(
      options?.maxResponseBytes,
      'maxResponseBytes',
      mtu,
      0,
      Number.MAX_SAFE_INTEGER,
    );
    const error = this.#refuse('ask', dst, request, options);
    if (error !== undefined) return rejection(error.error);
    this.#counters.countSent(request.length);
    const what = (): string => `ask ${dst.text} from ${this.own.text}`;
    return this.#waits.wait<Bytes>({ what, call: options, defaultTimeoutMs: DEFAULT_ASK_TIMEOUT_MS }, (wait) => {
      let serving: Serving | undefined;
      /** The swarm whose handler is at work. */
      let server: MemorySwarm | undefined;
      let lost = false;
      const gone = (): void => {
        lost = true;
        // The request has not been delivered and never will be: it can be retried.
        const sent = serving === undefined ? 'no' : 'maybe';
        wait.reject(new P2PError('unreachable', 'path', `Cannot ${what()}: no swarm has that address`, { sent }));
      };
      const answer = (from: MemorySwarm, answered: Answer): void =>
        this.#answer(from, answered, { wait, what, maxResponseBytes });
      this.#router.route({
        from: this,
        to: dst,
        payload: copyMessage(request),
        gone,
        arrive: (receiver, payload) => {
          if (serving !== undefined || lost) return; // The network delivered the request twice.
          serving = receiver.#asks.handle({ src: this.own, dst, payload });
          if (!isPending(serving.answer)) {
            answer(receiver, serving.answer);
            return;
          }
          server = receiver;
          receiver.#askers.add(gone);
          void serving.answer.then((answered) => {
            server = undefined;
            receiver.#askers.delete(gone);
            if (!receiver.#latch.isClosed) answer(receiver, answered);
          });
        },
      });
      return () => {
        if (server === undefined) return;
        server.#askers.delete(gone);
        serving?.abort(new P2PError('disconnected', 'remote', 'The asker no longer waits'));
      };
    });
  }

  serve(handler: AskHandler<MemoryAddr>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('serve');
    return this.#asks.serve(handler);
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    if (this.outgoing === 0) return RESOLVED;
    const what = (): string => `drain ${this.own.text}`;
    return this.#waits.wait<void>(
      { what, call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS, sent: () => 'no' },
      (wait) => {
        const done = (): void => wait.resolve();
        this.#drainers.add(done);
        return () => this.#drainers.delete(done);
      },
    );
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { maxMessages, maxBytes } = this.#tells.budget;
    return {
      limits: { maxPendingMessages: maxMessages, maxPendingBytes: maxBytes },
      state: { incoming: this.incoming, outgoing: this.outgoing, asks: this.#waits.size },
    };
  }

  /** A packet of this swarm has been delivered or dropped. */
  left(): void {
    this.outgoing--;
    if (this.outgoing === 0) for (const done of this.#drainers) done();
  }

  countLost(reason: DropReason): void {
    this.#counters.countDrop(reason);
  }

  /** The error of a message that cannot be sent now; `undefined` when it can. */
  #refuse(
    verb: 'tell' | 'ask',
    dst: MemoryAddr,
    payload: Uint8Array,
    options: CallOptions | undefined,
  ): { readonly error: unknown } | undefined {
    if (this.#latch.isClosed) return { error: this.#latch.error(`${verb} ${dst.text}`) };
    if (options?.signal?.aborted === true) return { error: options.signal.reason };
    const { mtu } = this.#router;
    if (payload.length <= mtu) return undefined;
    return { error: mtuError(`${verb} memory address ${dst.text}`, payload.length, mtu, 'wrap the swarm in frag()') };
  }

  /** Sends an answer back from `from`, as a packet that can be lost like any other. */
  #answer(
    from: MemorySwarm,
    answer: Answer,
    asked: { readonly wait: Wait<Bytes>; readonly what: () => string; readonly maxResponseBytes: number },
  ): void {
    const { wait, what, maxResponseBytes } = asked;
    const payload = answer.bytes === undefined ? new Uint8Array(0) : copyMessage(answer.bytes);
    from.#counters.countSent(payload.length);
    from.#router.route({
      from,
      to: this.own,
      payload,
      arrive: (_, arrived) => {
        if (!answer.ok) {
          const cause = new Refusal('refused', answer.bytes === undefined ? undefined : arrived, answer.code);
          wait.reject(new P2PError('refused', 'remote', `Cannot ${what()}: refused`, { cause }));
        } else if (arrived.length > maxResponseBytes) {
          const sizes = `${arrived.length} bytes, limit is ${maxResponseBytes} bytes`;
          wait.reject(new P2PError('limit_exceeded', 'remote', `Cannot ${what()}: the answer has ${sizes}`));
        } else {
          this.#counters.countReceived(arrived.length);
          wait.resolve(arrived);
        }
      },
    });
  }

  #release(): void {
    this.#router.remove(this);
    this.#tells.clear();
    const error = this.#latch.error('answer');
    this.#waits.close();
    for (const gone of this.#askers) gone();
    this.#asks.clear(error);
  }
}
