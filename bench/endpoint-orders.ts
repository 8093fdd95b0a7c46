/** What goes between bench/endpoint.ts and the processes it measures. */

/** What the process can be told. */
export type EndpointOrder =
  | { readonly do: 'serve'; readonly echo: boolean }
  | { readonly do: 'connect'; readonly addr: string }
  | { readonly do: 'bidi' | 'uni'; readonly bytes: number; readonly inFlight: number; readonly forMs: number }
  | { readonly do: 'connects' | 'anys'; readonly addrs: readonly string[]; readonly count: number }
  | {
      readonly do: 'clients';
      readonly addr: string;
      readonly clients: number;
      readonly count: number;
      readonly bytes: number;
    };

/** What it answers. */
export interface EndpointReport {
  readonly addr?: string;
  readonly count?: number;
  readonly ms?: number;
}
