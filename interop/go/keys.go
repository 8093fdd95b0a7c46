package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha3"
	"encoding/base64"

	"golang.org/x/crypto/blake2b"
)

// docs/wire/p2pke.md §1.

var spkiPrefix = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}

var peerIDText = base64.NewEncoding("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz").
	WithPadding(base64.NoPadding).Strict()

func marshalKey(key ed25519.PublicKey) []byte {
	return append(append([]byte(nil), spkiPrefix...), key...)
}

func parseKey(spki []byte) ed25519.PublicKey {
	if len(spki) != len(spkiPrefix)+ed25519.PublicKeySize || !bytes.HasPrefix(spki, spkiPrefix) {
		return nil
	}
	return ed25519.PublicKey(append([]byte(nil), spki[len(spkiPrefix):]...))
}

func peerIDOf(key ed25519.PublicKey) string {
	return peerIDText.EncodeToString(sha3.SumSHAKE256(marshalKey(key), 32))
}

const (
	purposeTimestamp = "p2pke/timestamp"
	purposeBinding   = "p2pke/channel-binding"
)

func signatureInput(purpose string, message []byte) []byte {
	xof, err := blake2b.NewXOF(64, nil)
	if err != nil {
		panic(err)
	}
	xof.Write([]byte{byte(len(purpose))})
	xof.Write([]byte(purpose))
	xof.Write(message)
	out := make([]byte, 64)
	xof.Read(out)
	return out
}

func sign(key ed25519.PrivateKey, purpose string, message []byte) []byte {
	return ed25519.Sign(key, signatureInput(purpose, message))
}

func verify(key ed25519.PublicKey, purpose string, message, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(key, signatureInput(purpose, message), signature)
}
