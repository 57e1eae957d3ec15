# The lab's hand inside the machine, started by a unit that the firmware's configuration brings along. In Perl, which is in
# every Debian (as perl-base, which has no base64) and starts in a moment where everything is emulated. It speaks lines through a virtio serial port:
#   ID run COMMAND | ID http REQUEST | ID read PATH    in hex; the answer is `ID STATUS OUTPUT`
# and by itself says `ready BOOT-ID` at the start, and `snapshot JSON` when the service's snapshot is another, `snapshot`
# alone when the service is away.
use strict;
use IO::Select;
use IO::Socket::UNIX;

my $CONTROL = '/run/superblock/control.sock';
my $PAUSE = 0.3;    # seconds

open(my $port, '+<', '/dev/virtio-ports/lab') or die "no port: $!";
my $select = IO::Select->new($port);
my (%children, $input, $events, $heard, $snapshot);
my ($asked, $told) = (0, 0);
my $away = 1;

sub tell_host {
    my $line = join(' ', @_) . "\n";
    while (length $line) {
        my $written = syswrite($port, $line) or die "the port is gone: $!";
        substr($line, 0, $written) = '';
    }
}

sub slurp {
    open(my $file, '<', shift) or die "$!\n";
    local $/;
    return scalar <$file>;
}

sub control {
    my $socket = IO::Socket::UNIX->new($CONTROL) or return;
    print $socket shift;
    $socket->flush;
    return $socket;
}

sub forget_events {
    return unless $events;
    $select->remove($events);
    close $events;
    ($events, $heard, $snapshot) = (undef, '', undef);
}

# Everything that may take time is done by a child, whose output is collected.
sub begin {
    my ($id, $verb, $what) = @_;
    my $pid = open(my $output, '-|') // die "cannot fork: $!";
    if ($pid == 0) {
        open(STDERR, '>&', \*STDOUT);
        open(STDIN, '<', '/dev/null');
        $| = 1;
        if ($verb eq 'run') { exec('/bin/sh', '-c', $what) or exit 127 }
        if ($verb eq 'read') { print eval { slurp($what) } // do { print $@; exit 1 }; exit 0 }
        my $socket = control($what) or do { print "the service is away: $!"; exit 1 };
        local $/;
        my $answer = <$socket> // '';
        $answer =~ s/^.*?\r\n\r\n//s;
        print $answer;
        exit 0;
    }
    $select->add($output);
    $children{$output} = { id => $id, verb => $verb, output => '', handle => $output };
}

sub finish {
    my $child = shift;
    $select->remove($child->{handle});
    delete $children{$child->{handle}};
    close $child->{handle};
    tell_host($child->{id}, $? & 127 ? 128 + ($? & 127) : $? >> 8, unpack('H*', $child->{output}));
    # What comes after a request is told from what was before it.
    forget_events() if $child->{verb} eq 'http';
}

my $boot = slurp('/proc/sys/kernel/random/boot_id');
chomp $boot;
tell_host('ready', $boot);

for (;;) {
    if (!$events && time() != $asked) {
        $asked = time();
        $events = control("GET /v1/events HTTP/1.0\r\nHost: superblock\r\n\r\n");
        if ($events) { $select->add($events); $heard = ''; $away = 0 }
        elsif (!$away) { tell_host('snapshot'); $away = 1 }
    }
    if (defined $snapshot && time() != $told) {
        tell_host('snapshot', unpack('H*', $snapshot));
        ($snapshot, $told) = (undef, time());
    }
    for my $handle ($select->can_read($PAUSE)) {
        my $count = sysread($handle, my $bytes, 65536);
        if ($handle == $port) {
            # Without a host the port reads as ended.
            if (!$count) { select(undef, undef, undef, $PAUSE); next }
            $input .= $bytes;
            while ($input =~ s/^(\S+) (\S+) (\S*)\n//) { begin($1, $2, pack('H*', $3)) }
        } elsif ($events && $handle == $events) {
            if (!$count) { forget_events(); next }
            $heard .= $bytes;
            while ($heard =~ s/^(.*?)\r?\n//) {
                my $line = $1;
                $snapshot = $line if $line =~ s/^data: //;
            }
        } elsif (my $child = $children{$handle}) {
            if ($count) { $child->{output} .= $bytes } else { finish($child) }
        }
    }
}
