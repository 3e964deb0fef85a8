"""Domains made by a seeded generator: a VM with everything that is taken over from images, of which some values are extreme."""
import random
import re

WHOLE = """<domain type='qemu'>
  <name>x</name><uuid>11111111-2222-3333-4444-555555555555</uuid><title>t</title><description>d</description>
  <metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'><libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>
  <memory unit='MiB'>64</memory><currentMemory unit='MiB'>64</currentMemory><vcpu placement='static'>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic eoi='on'/><pae/><hyperv mode='custom'><relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/></hyperv><kvm><hidden state='on'/></kvm><vmport state='off'/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><topology sockets='1' dies='1' cores='1' threads='1'/><feature policy='disable' name='svm'/></cpu>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/><timer name='hpet' present='no'/></clock>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash><pm><suspend-to-mem enabled='no'/></pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='disk.raw'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <controller type='usb' index='0' model='qemu-xhci' ports='15'/><controller type='scsi' index='0' model='virtio-scsi'/><controller type='virtio-serial' index='0'/><controller type='sata' index='0'/>
    <controller type='pci' index='0' model='pcie-root'/><controller type='pci' index='1' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='1' port='0x10'/><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0' multifunction='on'/></controller>
    <interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/><link state='up'/><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>
    <serial type='pty'><target type='isa-serial' port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><input type='tablet' bus='usb'/><input type='keyboard' bus='ps2'/>
    <graphics type='vnc' port='-1' autoport='yes'/><audio id='1' type='none'/><video><model type='vga' vram='16384' heads='1' primary='yes'/></video>
    <watchdog model='i6300esb' action='reset'/><memballoon model='virtio'/><rng model='virtio'><rate bytes='1024' period='1000'/><backend model='random'>/dev/urandom</backend></rng><panic model='isa'/>
  </devices>
</domain>"""

NUMBERS = ["0", "1", "-1", "2", "7", "15", "16", "31", "32", "63", "64", "255", "256", "512", "513", "4096", "65535", "65536", "1048577", "2147483646", "2147483647", "2147483648", "4294967295",
           "4294967296", "9223372036854775807", "18446744073709551615", "18446744073709551616", "0x7fffffff", "0xffffffff", "1e9", "0.5", "", " 1", "nan", "99999999999999999999999"]
NAMES = ["sdzzzz", "hdzz", "vdaa", "fda", "xvda", "a" * 60, "a" * 5000, "../../x", "%n%s%x", "x,y=z", "&#27;[31m", "\u202e", "&lt;a/&gt;", "none", "auto", "host", "virtio", "scsi", "ide", "usb",
         "yes", "no", "qemu64", "EPYC", "pcie-root", "pci-bridge", "pc", "pc-q35-9.9", "virt", "s390-ccw-virtio", "aarch64", "i686", "riscv64", "default", "localtime", "qxl", "ramfb", "reset"]


def attribute(text, rng):
    """Another value for one of its attributes."""
    found = list(re.finditer(r"='([^']*)'", text))
    at = rng.choice(found)
    pool = NUMBERS if re.fullmatch(r"-?(0x)?[0-9a-f]+", at[1]) and rng.random() < 0.8 else NUMBERS + NAMES
    return text[:at.start(1)] + rng.choice(pool) + text[at.end(1):]


def content(text, rng):
    """Another text for one of its elements."""
    found = list(re.finditer(r">([^<>\n]+)</", text))
    at = rng.choice(found)
    return text[:at.start(1)] + rng.choice(NUMBERS + NAMES) + text[at.end(1):]


def elements(text):
    return list(re.finditer(r"<(disk|controller|interface|serial|console|channel|input|audio|video|watchdog|rng|panic|timer|feature|graphics|memballoon)\b[^>]*?(/>|>.*?</\1>)", text))


def repeated(text, rng):
    """One of its devices many times."""
    at = rng.choice(elements(text))
    return text[:at.start()] + at[0] * rng.choice([1, 2, 3, 5, 9, 33, 300]) + text[at.end():]


def removed(text, rng):
    at = rng.choice(elements(text))
    return text[:at.start()] + text[at.end():]


def with_boot(text, rng):
    return text.replace("</disk>", f"<boot order='{rng.choice(NUMBERS)}'/></disk>", 1)


def mutations(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        text = WHOLE
        for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
            text = rng.choice([attribute, attribute, attribute, attribute, content, repeated, removed, with_boot])(text, rng)
        yield text
