package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"wif/internal/policy"
)

// reach is where a host's name may lead.
type reach int

const (
	// public leads to addresses of the public internet.
	public reach = iota
	// private leads also to those of private networks.
	private
	// loopback leads to this machine, and nowhere else.
	loopback
	// metadata leads to the metadata service of this machine, and nowhere else.
	metadata
)

// reachOf is where the URL's host may lead. Its error is the rule that refuses.
func (s *Sender) reachOf(to *url.URL, source bool) (reach, error) {
	name := strings.ToLower(to.Hostname())
	address, err := netip.ParseAddr(name)
	literal := err == nil
	local := name == "localhost" || literal && address.IsLoopback()
	switch {
	case to.Scheme == "https" && source:
		// A Vault, an identity provider, the cluster's own API: the certificate says who answers.
		return private, nil
	case local:
		return loopback, nil
	case to.Scheme == "http" && source && (name == policy.MetadataHost || literal && policy.IsMetadata(address)):
		return metadata, nil
	case to.Scheme == "http" && source:
		return 0, errors.New("plain http is for this machine and its metadata service only, not for " + name)
	case to.Scheme == "http":
		return 0, errors.New("plain http is for this machine only, not for " + name)
	case !literal && s.places.MayBePrivate(originOf(to)):
		return private, nil
	}
	return public, nil
}

// refusal is the rule that refuses an address, and what would allow it.
type refusal string

func (r refusal) Error() string { return string(r) }

// checkAddresses checks all that a name resolves to: an answer that mixes public and private addresses is not an honest one. A public name
// that leads to a private address is an attempt to reach what only this machine can reach (DNS rebinding).
func checkAddresses(name, origin string, reach reach, found []netip.Addr) error {
	for _, address := range found {
		if !mayReach(reach, address) {
			return refuse(name, origin, reach, address)
		}
	}
	return nil
}

func refuse(name, origin string, reach reach, address netip.Addr) error {
	switch {
	case reach == public && scopeOf(address) == scopePrivate:
		// Short: the component shows 200 characters of what went wrong, and this is the end of it.
		return refusal(fmt.Sprintf("%s resolves to the private address %s: wif.Options.AllowPrivateOrigins with %q allows it", name, address, origin))
	case reach == loopback:
		return refusal(fmt.Sprintf("%s resolves to %s, which is not this machine", name, address))
	}
	return refusal(fmt.Sprintf("%s resolves to %s, which no policy allows: link-local, multicast or reserved", name, address))
}

func mayReach(reach reach, address netip.Addr) bool {
	switch reach {
	case loopback:
		return address.Unmap().IsLoopback()
	case metadata:
		return policy.IsMetadata(address)
	case private:
		// A proxy or a gateway may stand on this machine too.
		return scopeOf(address) != scopeNever
	}
	return scopeOf(address) == scopePublic
}

type scope int

const (
	scopePublic scope = iota
	scopePrivate
	// scopeNever is link-local (metadata services), multicast, unspecified, reserved.
	scopeNever
)

func scopeOf(address netip.Addr) scope {
	address = address.Unmap()
	if address.Is4() {
		return scopeOf4(address.As4())
	}
	return scopeOf6(address)
}

// scopeOf4 goes by the registry of special-purpose addresses (RFC 6890).
func scopeOf4(bytes [4]byte) scope {
	first, second := bytes[0], bytes[1]
	address := netip.AddrFrom4(bytes)
	switch {
	case first == 0 || first >= 224 || first == 169 && second == 254:
		return scopeNever
	case first == 100 && second >= 64 && second <= 127, first == 198 && (second == 18 || second == 19):
		// Carriers' shared space (RFC 6598) and networks of benchmarks (RFC 2544).
		return scopePrivate
	case address.IsPrivate() || address.IsLoopback():
		return scopePrivate
	}
	return scopePublic
}

func scopeOf6(address netip.Addr) scope {
	bytes := address.As16()
	segment := func(index int) uint16 { return uint16(bytes[2*index])<<8 | uint16(bytes[2*index+1]) }
	first := segment(0)
	switch {
	case bytes == netip.IPv6Loopback().As16():
		return scopePrivate
	case bytes == [16]byte{}:
		return scopeNever
	case first >= 0xfe80 && first <= 0xfeff, first >= 0xff00:
		// Link-local, site-local and multicast.
		return scopeNever
	case first >= 0xfc00 && first <= 0xfdff:
		// Unique local addresses (RFC 4193).
		return scopePrivate
	case first == 0x64 && segment(1) == 0xff9b:
		// An IPv4 address behind a translator (RFC 6052) or a tunnel (RFC 3056) is as good as itself.
		return scopeOf4([4]byte(bytes[12:]))
	case first == 0x2002:
		return scopeOf4([4]byte(bytes[2:6]))
	}
	return scopePublic
}
