#!/usr/bin/perl
# A cable with delay and loss: moves frames between two TAP devices. netem is not in every kernel, and perl is in every Debian.
# usage: tap-wire.pl DEVICE_A DEVICE_B DELAY_MS LOSS_PERCENT SEED; prints "ready" when both devices are there.
use strict;
use warnings;
use Fcntl;
use Time::HiRes qw(time);

my ($first, $second, $delay_ms, $loss, $seed) = @ARGV;
srand($seed);

# linux/if_tun.h
my $TUNSETIFF = 0x400454ca;
my ($IFF_TAP, $IFF_NO_PI) = (0x0002, 0x1000);

sub tap {
    my ($name) = @_;
    sysopen(my $tap, '/dev/net/tun', O_RDWR | O_NONBLOCK) or die "tun: $!";
    ioctl($tap, $TUNSETIFF, pack('a16 S x22', $name, $IFF_TAP | $IFF_NO_PI)) or die "TUNSETIFF: $!";
    return $tap;
}

my @taps = (tap($first), tap($second));
$| = 1;
print "ready\n";

my @waiting; # [when, to, frame], in order: the delay is the same for all
while (1) {
    my $wait = @waiting ? $waiting[0][0] - time() : undef;
    $wait = 0 if defined $wait && $wait < 0;
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for @taps;
    select($ready, undef, undef, $wait);
    while (@waiting && $waiting[0][0] <= time()) {
        my (undef, $to, $frame) = @{ shift @waiting };
        syswrite($taps[$to], $frame);
    }
    for my $from (0, 1) {
        next unless vec($ready, fileno($taps[$from]), 1);
        while (sysread($taps[$from], my $frame, 65536)) {
            push @waiting, [ time() + $delay_ms / 1000, 1 - $from, $frame ] unless rand(100) < $loss;
        }
    }
}
