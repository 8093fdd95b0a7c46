/** x509-limbo: what is expected of a validator, and where shoal's differs and why. See test/vectors/public.ts. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ChainCost, MAX_CHAIN_STEPS, MAX_SIGNATURE_CHECKS, verifyChain } from '../../src/identity/chain.ts';
import { decodePem, parseCertificate } from '../../src/identity/x509.ts';
import { publicVectors, skip } from '../vectors/public.ts';

interface LimboCase {
  readonly id: string;
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: { readonly value: string } | null;
}

/** Taken here, refused by the suite: rules that add nothing to what a peer proves. */
const TAKEN: Readonly<Record<string, readonly string[]>> = {
  'revocation is not looked at': [
    'crl::revoked-certificate-with-crl',
    'crl::crlnumber-missing',
    'crl::crlnumber-critical',
    'crl::issuer-missing-crlsign',
  ],
  'there is no option for a shorter chain': [
    'pathlen::max-chain-depth-0-exhausted',
    'pathlen::max-chain-depth-1-exhausted',
  ],
  'key identifiers only help to find issuers; here names and signatures decide': [
    'rfc5280::aki::leaf-missing-aki',
    'rfc5280::aki::intermediate-missing-aki',
    'rfc5280::aki::cross-signed-root-missing-aki',
    'rfc5280::ski::root-missing-ski',
    'rfc5280::ski::intermediate-missing-ski',
    'webpki::aki::root-with-aki-missing-keyidentifier',
    'webpki::aki::root-with-aki-authoritycertissuer',
    'webpki::aki::root-with-aki-authoritycertserialnumber',
    'webpki::aki::root-with-aki-all-fields',
    'webpki::aki::root-with-aki-ski-mismatch',
  ],
  'extensions that are not understood and not critical are not read': [
    'rfc5280::pc::ica-noncritical-pc',
    'webpki::malformed-aia',
  ],
  'certificates without a common name have an empty name, also those that shoal makes': [
    'rfc5280::san::noncritical-with-empty-subject',
    'rfc5280::ca-empty-subject',
  ],
  'private authorities write it so; it says the same': [
    'rfc5280::root-non-critical-basic-constraints',
    'webpki::san::san-critical-with-nonempty-subject',
  ],
  'common names are never compared with anything': [
    'webpki::cn::ipv4-hex-mismatch',
    'webpki::cn::ipv4-leading-zeros-mismatch',
    'webpki::cn::ipv6-uppercase-mismatch',
    'webpki::cn::ipv6-uncompressed-mismatch',
    'webpki::cn::ipv6-non-rfc5952-mismatch',
    'webpki::cn::punycode-not-in-san',
    'webpki::cn::utf8-vs-punycode-mismatch',
    'webpki::cn::not-in-san',
    'webpki::cn::case-mismatch',
  ],
  'a rule of the public web for its own authorities; RFC 5280 allows it': [
    'webpki::eku::ee-anyeku',
    'webpki::eku::ee-critical-eku',
    'webpki::eku::ee-without-eku',
    'webpki::eku::root-has-eku',
    'webpki::ee-basicconstraints-ca',
  ],
  'there is no list of public suffixes': [
    'webpki::san::public-suffix-multi-label-wildcard-san',
    'webpki::san::public-suffix-private-namespace-wildcard-san',
  ],
  'a key of an end entity is judged by TLS, where it must sign; these cannot': [
    'webpki::forbidden-p192-leaf',
    'webpki::forbidden-dsa-leaf',
    'webpki::forbidden-weak-rsa-in-leaf',
    'webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf',
  ],
};

/** Refused here, taken by the suite. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'name constraints are not evaluated, so certificates with them are refused': [
    'rfc5280::nc::permitted-dns-match',
    'rfc5280::nc::permitted-dns-match-more',
    'rfc5280::nc::permitted-ipv4-match',
    'rfc5280::nc::permitted-ipv6-match',
    'rfc5280::nc::permitted-dn-match',
    'rfc5280::nc::permitted-self-issued',
    'rfc5280::nc::permitted-different-constraint-type',
    'rfc5280::nc::excluded-different-constraint-type',
    'rfc5280::nc::nc-permits-email-exact',
    'rfc5280::nc::nc-permits-email-domain',
    'rfc5280::nc::nc-permits-email-literal-asterisk-exact-match',
    'rfc5280::nc::nc-permits-email-literal-double-asterisk',
    'rfc5280::nc::nc-permits-email-literal-mid-asterisk',
    'rfc5280::nc::nc-forbids-othername-noop',
    'webpki::nc::permitted-dns-match-noncritical',
    'webpki::nc::nc-permits-dns-san-pattern',
  ],
  'its intermediate without name constraints is not signed by its root, in these vectors': [
    'rfc5280::nc::nc-forbids-alternate-chain-ica',
  ],
  'TLS 1.3 has end entities sign, so their key usage must allow it (RFC 8446 §4.4.2.2)': [
    'pathlen::validation-ignores-pathlen-in-leaf',
    'rfc5280::ca-as-leaf',
  ],
  'the last moment is the whole second that is written': ['rfc5280::validity::notafter-fractional'],
};

describe('x509-limbo', () => {
  it('every case has the expected result, or a reason why not; none exceeds the limits of a search', { skip }, () => {
    const cases = publicVectors<readonly LimboCase[]>('x509-limbo.json');
    assert.equal(cases.length, 207);
    const reasons = Object.values({ ...TAKEN, ...REFUSED }).flat();
    const differing: string[] = [];
    const unexplained: string[] = [];
    for (const test of cases) {
      const anchors = test.trusted_certs.flatMap((pem) => decodePem(pem)).map(({ der }) => parseCertificate(der));
      const cost: ChainCost = { steps: 0, signatureChecks: 0, hashedBytes: 0 };
      const problem = verifyChain({
        chain: [test.peer_certificate, ...test.untrusted_intermediates].flatMap((pem) =>
          decodePem(pem).map(({ der }) => der),
        ),
        anchors: anchors.filter((anchor) => anchor !== undefined),
        wallMs: Date.parse(test.validation_time),
        usage: test.validation_kind === 'SERVER' ? 'server' : 'client',
        serverName: test.expected_peer_name?.value,
        cost,
      });
      assert.ok(cost.steps <= MAX_CHAIN_STEPS && cost.signatureChecks <= MAX_SIGNATURE_CHECKS, test.id);
      const isTaken = problem === undefined;
      if (isTaken === (test.expected_result === 'SUCCESS')) continue;
      differing.push(test.id);
      const table = Object.values(isTaken ? TAKEN : REFUSED).flat();
      if (!table.includes(test.id)) unexplained.push(`${test.id}: ${problem?.why ?? 'taken'}`);
    }
    assert.deepEqual(unexplained, []);
    assert.deepEqual(differing.toSorted(), reasons.toSorted(), 'the table names what differs and nothing else');
  });
});
