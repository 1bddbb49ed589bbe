package transport

import (
	"context"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"wif/internal/policy"
)

func TestAddressesLeadOnlyWhereANameMayLead(t *testing.T) {
	for _, row := range []struct {
		address                            string
		public, private, loopback, service bool
	}{
		{"160.79.104.10", true, true, false, false},
		{"2607:6bc0::10", true, true, false, false},
		{"10.0.0.1", false, true, false, false},
		{"172.16.0.1", false, true, false, false},
		{"172.32.0.1", true, true, false, false},
		{"192.168.1.1", false, true, false, false},
		{"100.64.0.1", false, true, false, false},
		{"100.127.255.255", false, true, false, false},
		{"100.128.0.1", true, true, false, false},
		{"198.18.0.1", false, true, false, false},
		{"198.19.255.255", false, true, false, false},
		{"198.20.0.1", true, true, false, false},
		{"fd00::1", false, true, false, false},
		{"127.0.0.1", false, true, true, false},
		{"127.1.2.3", false, true, true, false},
		{"::1", false, true, true, false},
		{"::ffff:127.0.0.1", false, true, true, false},
		{"::ffff:10.0.0.1", false, true, false, false},
		{"64:ff9b::10.0.0.1", false, true, false, false},
		{"64:ff9b::160.79.104.10", true, true, false, false},
		{"2002:0a00:0001::", false, true, false, false},
		{"2002:a9fe:a9fe::", false, false, false, false},
		{"169.254.169.254", false, false, false, true},
		{"::ffff:169.254.169.254", false, false, false, true},
		{"64:ff9b::169.254.169.254", false, false, false, false},
		{"fd00:ec2::254", false, true, false, true},
		{"fe80::1", false, false, false, false},
		{"fe80::1%eth0", false, false, false, false},
		{"fec0::1", false, false, false, false},
		{"ff02::1", false, false, false, false},
		{"0.0.0.0", false, false, false, false},
		{"0.1.2.3", false, false, false, false},
		{"::", false, false, false, false},
		{"224.0.0.1", false, false, false, false},
		{"255.255.255.255", false, false, false, false},
	} {
		address := netip.MustParseAddr(row.address)
		for reach, expected := range []bool{row.public, row.private, row.loopback, row.service} {
			if mayReach([]kind{public, private, loopback, metadata}[reach], address) != expected {
				t.Errorf("%s, %d: not %v", row.address, reach, expected)
			}
		}
	}
}

type kind = reach

func TestTheRuleThatRefusesAnAddressSaysWhatAllowsIt(t *testing.T) {
	for expected, refused := range map[string]error{
		`api.example resolves to the private address 198.18.0.7: wif.Options.AllowPrivateOrigins with "https://api.example:8443" allows it`: refuse(
			"api.example", "https://api.example:8443", public, netip.MustParseAddr("198.18.0.7")),
		"api.example resolves to 169.254.169.254, which no policy allows: link-local, multicast or reserved": refuse(
			"api.example", "https://api.example", private, netip.MustParseAddr("169.254.169.254")),
		"localhost resolves to 10.0.0.1, which is not this machine": refuse(
			"localhost", "http://localhost", loopback, netip.MustParseAddr("10.0.0.1")),
	} {
		if refused.Error() != expected {
			t.Error(refused)
		}
	}
}

func TestOneBadAddressAmongManySpoilsTheAnswer(t *testing.T) {
	const good, bad = "160.79.104.10", "10.0.0.1"
	for _, mixed := range [][]string{{bad, good, good}, {good, bad, good}, {good, good, bad}} {
		sender := newSender(t, Options{}, places{}).named("api.example", mixed...)
		expect(t, send(sender, post("https://api.example/?canary")), "unsent",
			"api.example resolves to the private address 10.0.0.1: wif.Options.AllowPrivateOrigins")
	}
	found := []netip.Addr{netip.MustParseAddr(good), netip.MustParseAddr("160.79.104.11")}
	if err := checkAddresses("api.example", "https://api.example", public, found); err != nil {
		t.Fatal(err)
	}
}

// The name of this machine stands for one that leads to it.
func TestANameThatLeadsWhereItMayNotIsNotDialled(t *testing.T) {
	at, requests := rawServer(t, nil)
	for request, says := range map[string]string{
		"https://localhost.example:" + port(at): "private address 127.0.0.1",
		"https://link-local.example":            "which no policy allows",
	} {
		sender := newSender(t, Options{}, places{}).named("localhost.example", "127.0.0.1").named("link-local.example", "169.254.169.254")
		expect(t, send(sender, post(request)), "unsent", says)
	}
	sender := newSender(t, Options{}, places{}).named("localhost", "127.0.0.1", "160.79.104.10")
	expect(t, send(sender, post("http://localhost:"+port(at))), "unsent", "localhost resolves to 160.79.104.10, which is not this machine")
	sender = newSender(t, Options{}, places{}).named(policy.MetadataHost, "127.0.0.1")
	expect(t, send(sender, get("http://"+policy.MetadataHost+":"+port(at))), "unsent", "resolves to 127.0.0.1")
	if requests.Load() != 0 {
		t.Fatal("it was dialled")
	}
}

func TestANameIsLookedUpOnce(t *testing.T) {
	authority := newAuthority(t)
	at, requests, _ := secured(t, authority.of("gateway.example"))
	origin := "https://gateway.example:" + port(at)
	sender := newSender(t, Options{RootCertificates: []string{authority.pem()}}, places{private: map[string]bool{origin: true}})
	asked := 0
	sender.lookup = func(context.Context, string) ([]netip.Addr, error) {
		asked++
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	answer(t, send(sender, post(strings.ToUpper(origin[:15])+origin[15:]+"/v1")))
	if asked != 1 || requests.Load() != 1 {
		t.Fatal(asked, requests.Load())
	}
}

func TestANameLeadsAsFarAsItMayForWhomItIsLookedUp(t *testing.T) {
	sender := newSender(t, Options{}, places{private: map[string]bool{"https://gateway.example": true}})
	for _, row := range []struct {
		url    string
		source bool
		reach  reach
	}{
		{"https://gateway.example", false, private},
		{"https://GATEWAY.example:443/v1", false, private},
		{"https://gateway.example:8443", false, public},
		{"https://api.anthropic.com", false, public},
		{"https://localhost:8443", false, loopback},
		{"http://localhost:8080", false, loopback},
		{"http://127.0.0.1:8080", false, loopback},
		{"http://[::1]:8080", false, loopback},
		{"https://idp.example", true, private},
		{"https://gateway.example", true, private},
		{"http://localhost", true, loopback},
		{"http://[::1]", true, loopback},
		{"http://metadata.google.internal", true, metadata},
		{"http://169.254.170.2", true, metadata},
		{"http://[fd00:ec2::23]", true, metadata},
	} {
		to, err := url.Parse(row.url)
		if err != nil {
			t.Fatal(err)
		}
		if reach, err := sender.reachOf(to, row.source); err != nil || reach != row.reach {
			t.Errorf("%s: %d, %v", row.url, reach, err)
		}
	}
	for _, far := range []string{"http://idp.example", "http://10.0.0.1", "http://[fd00::1]", "http://localhost.evil.example", "http://8.8.8.8"} {
		to, _ := url.Parse(far)
		for _, source := range []bool{true, false} {
			if _, err := sender.reachOf(to, source); err == nil {
				t.Error(far)
			}
		}
	}
}
