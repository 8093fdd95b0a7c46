/** Calls to services of a UPnP router: SOAP 1.1 over HTTP (UPnP Device Architecture 1.1 §3). */

import type { Bytes } from '../../base/bytes.ts';
import { printableText } from '../../base/reason.ts';
import { encodeHttpRequest } from './http.ts';
import { childText, type IgdService, textOf } from './igd.ts';
import type { HttpResult } from './types.ts';
import { escapeXml, readXml } from './xml.ts';

/** Arguments in the order in which they must be sent. */
export type SoapArguments = readonly (readonly [name: string, value: string | number])[];

/** What a service answers. */
export type SoapAnswer =
  | { readonly type: 'ok'; readonly values: ReadonlyMap<string, string> }
  /** `code`: of UPnP, 401 to 800; 0 when there is none. */
  | { readonly type: 'fault'; readonly code: number; readonly description: string }
  | { readonly type: 'failed'; readonly reason: 'unreachable' | 'too_slow' | 'malformed' };

/** The request of an action. */
export function encodeSoap({ type, control }: IgdService, action: string, args: SoapArguments): Bytes {
  const fields = args.map(([name, value]) => `<${name}>${escapeXml(String(value))}</${name}>`).join('');
  const body =
    '<?xml version="1.0"?>\r\n' +
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">' +
    `<s:Body><u:${action} xmlns:u="${type}">${fields}</u:${action}></s:Body></s:Envelope>\r\n`;
  return encodeHttpRequest(
    control,
    ['Content-Type: text/xml; charset="utf-8"', `SOAPAction: "${type}#${action}"`],
    body,
  );
}

/** The most of a router's words that is shown. */
const MAX_DESCRIPTION = 120;
/** Values of one answer; the longest has nine. */
const MAX_VALUES = 32;

/** Reads what came of a request. Never throws. */
export function decodeSoap(result: HttpResult, action: string): SoapAnswer {
  if (typeof result === 'string') return { type: 'failed', reason: result };
  const { status, body } = result;
  const elements = readXml(textOf(body));
  const response = elements?.findIndex(({ name }) => name === `${action}Response`) ?? -1;
  if (status === 200 && elements !== undefined && response >= 0) {
    const values = elements.filter(({ parent }) => parent === response).slice(0, MAX_VALUES);
    return { type: 'ok', values: new Map(values.map(({ name, text }) => [name, text])) };
  }
  if (status === 200) return { type: 'failed', reason: 'malformed' };
  const error = elements?.findIndex(({ name }) => name === 'UPnPError') ?? -1;
  const code = error < 0 ? undefined : childText(elements!, error, 'errorCode');
  const said = error < 0 ? undefined : childText(elements!, error, 'errorDescription');
  return {
    type: 'fault',
    code: code !== undefined && /^[0-9]{1,5}$/.test(code) ? Number(code) : 0,
    description: printableText((said ?? `HTTP ${status}`).slice(0, MAX_DESCRIPTION)),
  };
}
