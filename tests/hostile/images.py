"""Images that attack: each a layout made here, byte by byte, with what it tries and the sentence that refuses it."""
import copy
import dataclasses
import gzip
import hashlib
import io
import json
import struct
import zlib

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
DOMAIN = "application/vnd.libvirt.domain.config+xml"
VM_CONFIG = "application/vnd.sardinecake.vm.config.v1+json"
DISK = "application/x-qemu-disk+gzip"


def qcow2(size=1 << 20, backing=None, backing_format="qcow2", cluster_bits=16, version=3, incompatible=0, l1=1, crypt=0, snapshots=0, extra=b"", refcounts=1, refcount_order=4, length=104):
    """A header alone: no attack needs more."""
    extensions = b""
    if backing is not None and backing_format:
        text = backing_format.encode()
        extensions += struct.pack(">II", 0xE2792ACA, len(text)) + text.ljust((len(text) + 7) // 8 * 8, b"\0")
    extensions += struct.pack(">II", 0, 0)
    name = (backing or "").encode("latin-1")
    cluster = 1 << min(cluster_bits, 21)
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", version, 104 + len(extensions) if name else 0, len(name), cluster_bits, size, crypt, l1, 3 * cluster, cluster,
                         refcounts, snapshots, 0, incompatible, 0, 0, refcount_order, length)
    return (header + extensions + name + extra).ljust(0x40000, b"\0")


def stream(data, name="disk.qcow2", flags_name=True):
    """One gzip stream, as sardinecake writes it; a name may hold any bytes."""
    body = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = body.compress(data) + body.flush()
    raw = name if isinstance(name, bytes) else name.encode("latin-1")
    header = b"\x1f\x8b\x08" + (b"\x08" if flags_name else b"\0") + b"\0" * 4 + b"\0\xff" + (raw + b"\0" if flags_name else b"")
    return header + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def member(data, name="disk.qcow2", size=None):
    """A member of ours, which says its size: the right one, or another."""
    body = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = body.compress(data) + body.flush()
    raw = name.encode() + b"\0"
    whole = 10 + 2 + 8 + len(raw) + len(packed) + 8
    return (b"\x1f\x8b\x08\x0c" + b"\0" * 4 + b"\0\xff" + struct.pack("<H2sHI", 8, b"SD", 4, whole if size is None else size) + raw + packed
            + struct.pack("<II", zlib.crc32(data), len(data)))


XML = """<domain type='qemu'%(attributes)s>%(head)s
  <name>x</name><memory unit='MiB'>%(memory)s</memory><vcpu>%(vcpu)s</vcpu>
  <os><type arch='%(arch)s' machine='q35'>hvm</type>%(os)s</os>
  <devices>%(disk)s%(devices)s</devices>%(tail)s
</domain>"""
DISK_XML = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='disk.qcow2'/><target dev='vda' bus='virtio'/></disk>"


def xml(attributes="", head="", memory="256", vcpu="1", arch="x86_64", os="", disk=DISK_XML, devices="", tail=""):
    return XML % locals()


@dataclasses.dataclass
class Image:
    """The parts of an image, each of which an attack may change."""
    domain: bytes = dataclasses.field(default_factory=lambda: xml().encode())
    disks: list = dataclasses.field(default_factory=lambda: [("disk.qcow2", qcow2())])  # (name, content), or packed: (None, gzip bytes, content)
    vm_config: object = None
    edit_manifest: object = None  # called with the manifest before it is written
    edit_config: object = None
    damage: object = None  # called with the blobs' folder at the end

    def write(self, layout, tag):
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True)

        def add(content, media_type):
            digest = hashlib.sha256(content).hexdigest()
            (blobs / digest).write_bytes(content)
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

        layers, ids = [add(self.domain, DOMAIN)], [hashlib.sha256(self.domain).hexdigest()]
        if self.vm_config is not None:
            text = self.vm_config if isinstance(self.vm_config, bytes) else json.dumps(self.vm_config).encode()
            layers.append(add(text, VM_CONFIG))
            ids.append(hashlib.sha256(text).hexdigest())
        for disk in self.disks:
            packed, content = (disk[1], disk[2]) if disk[0] is None else (stream(disk[1], disk[0]), disk[1])
            layers.append(add(packed, DISK))
            ids.append(hashlib.sha256(content).hexdigest())
        config = {"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{i}" for i in ids]}, "history": []}
        if self.edit_config:
            config = self.edit_config(config) or config
        config_blob = add(config if isinstance(config, bytes) else json.dumps(config).encode(), CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config_blob, "layers": layers}
        if self.edit_manifest:
            manifest = self.edit_manifest(manifest) or manifest
        written = add(manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode(), MANIFEST)
        if self.damage:
            self.damage(blobs, layers)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        written["annotations"] = {"org.opencontainers.image.ref.name": tag}
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [written]}))


def with_device(text):
    return Image(domain=xml(devices=text).encode())


def with_disk(text):
    return Image(domain=xml(disk=text).encode())


def with_os(text):
    return Image(domain=xml(os=text).encode())


def edited(**changes):
    """A manifest's edit: the first disk layer changed."""
    def edit(manifest):
        manifest["layers"][1].update(changes)
    return Image(edit_manifest=edit)


def with_boot(order):
    return with_disk(DISK_XML.replace("</disk>", f"<boot order='{order}'/></disk>"))


def disks_with(*parts):
    """A disk for each, with this in it."""
    names = ["disk.qcow2", "b.qcow2"][:len(parts)]
    disks = "".join(DISK_XML.replace("disk.qcow2", name).replace("vda", f"vd{i}").replace("</disk>", part + "</disk>") for i, (name, part) in enumerate(zip(names, parts)))
    return Image(domain=xml(disk=disks).encode(), disks=[(name, qcow2()) for name in names])


def many_disks(count, content=None):
    disks = "".join(DISK_XML.replace("disk.qcow2", f"d{i}.qcow2").replace("vda", f"vd{i}x") for i in range(count))
    return Image(domain=xml(disk=disks).encode(), disks=[(f"d{i}.qcow2", content or qcow2()) for i in range(count)])


def chain(length):
    """Files of which each has the next as its backing file."""
    files = [("disk.qcow2", qcow2(backing="c0.qcow2"))]
    files += [(f"c{i}.qcow2", qcow2(backing=f"c{i + 1}.qcow2") if i + 1 < length else qcow2()) for i in range(length)]
    return Image(disks=files)


def with_ide_disks(count):
    disks = "".join(DISK_XML.replace("disk.qcow2", f"d{i}.qcow2").replace("vda", f"hd{'abcdefgh'[i]}").replace("virtio", "ide") for i in range(count))
    return Image(domain=xml(disk=disks).replace("machine='q35'", "machine='pc'").encode(), disks=[(f"d{i}.qcow2", qcow2()) for i in range(count)])


def machine(text):
    return Image(domain=xml().replace("machine='q35'", f"machine='{text}'").encode())


def nested(name, depth):
    return (f"<{name}>" * depth + f"</{name}>" * depth).encode()


def patched(at, form, *values, then=(0, b"")):
    """A disk's header with other fields, and something elsewhere."""
    data = bytearray(qcow2())
    struct.pack_into(form, data, at, *values)
    data[then[0]:then[0] + len(then[1])] = then[1]
    return bytes(data)


def flipped(blobs, layers):
    path = blobs / layers[1]["digest"][7:]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def two(base, top):
    """A backing chain of two files."""
    return Image(domain=xml(disk=DISK_XML.replace("disk.qcow2", "top.qcow2")).encode(), disks=[base, ("top.qcow2", top)])


ENTITIES = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
JSON_NAME = r'json:{"driver":"raw","file":{"driver":"file","filename":"\u002fetc\u002fshadow"}}'
RESERVED = "reaches for files, sockets or devices"

# What is accepted, because a job's VM gets nothing of it: it is written anew.
DROPPED = {
    "a socket to the hypervisor": with_device("<vsock model='virtio'><cid auto='yes'/></vsock>"),
    "firmware from an arbitrary file": with_os("<loader readonly='yes' type='pflash'>/etc/shadow</loader>"),
    "firmware outside the firmware folder": with_os("<loader readonly='yes' type='pflash'>/usr/share/OVMF/../../../etc/shadow</loader>"),
    "firmware variables from an arbitrary file": with_os("<nvram template='/etc/shadow'/>"),
    "an arbitrary program as the emulator": with_device("<emulator>/tmp/evil</emulator>"),
    "an emulator reached through the path of a normal one": with_device("<emulator>/usr/bin/qemu-system-x/../../../tmp/evil</emulator>"),
    "a network card of the host": with_device("<interface type='direct'><source dev='eth0'/></interface>"),
    "USB from a viewer": with_device("<redirdev bus='usb' type='spicevmc'/>"),
    "a viewer's smart card": with_device("<smartcard mode='passthrough' type='spicevmc'/>"),
    "an agent at a session's socket": with_device("<channel type='unix'><source mode='bind' path='/run/user/1000/x'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
    "an empty kernel": with_os("<kernel></kernel><initrd/>"),
    "a layer of an unknown type": Image(edit_manifest=lambda m: m["layers"].append(dict(m["layers"][0], mediaType="application/x-sh"))),
    "a layer of a type with a line break": Image(edit_manifest=lambda m: m["layers"].append(dict(m["layers"][0], mediaType="application/x\r\nERROR: fine\x9b31m"))),
}

# What it tries: (the image, a piece of the sentence that refuses it).
ATTACKS = {
    # The host's devices, files, sockets and programs, through the domain.
    "a PCI device of the host": (with_device("<hostdev mode='subsystem' type='pci'><source><address bus='0'/></source></hostdev>"), "<devices/hostdev>"),
    "an address of the host's sockets": (with_device("<vsock model='virtio'><cid auto='no' address='3'/></vsock>"), "<devices/vsock>"),
    "a USB device of the host": (with_device("<redirdev bus='usb' type='tcp'><source host='1.2.3.4' service='1'/></redirdev>"), "<devices/redirdev>"),
    "a folder of the host": (with_device("<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>"), "<devices/filesystem>"),
    "memory shared with other VMs": (with_device("<shmem name='x'/>"), "<devices/shmem>"),
    "the host's smart card": (with_device("<smartcard mode='host'/>"), "<devices/smartcard>"),
    "a lease on a lock of the host": (with_device("<lease><key>k</key><target path='/etc/passwd'/></lease>"), "<devices/lease>"),
    "the host's TPM": (with_device("<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"), "<devices/tpm>"),
    "a kernel of the host": (with_os("<kernel>/etc/shadow</kernel>"), "<os/kernel>"),
    "an initial RAM disk of the host": (with_os("<initrd>/etc/shadow</initrd>"), "<os/initrd>"),
    "a device tree of the host": (with_os("<dtb>/etc/shadow</dtb>"), "<os/dtb>"),
    "an ACPI table of the host": (with_os("<acpi><table type='slic'>/etc/shadow</table></acpi>"), "<os/acpi>"),
    "firmware variables from a server": (with_os("<nvram type='network'><source protocol='nbd' name='x'/></nvram>"), "<os/nvram/source>"),
    "a boot loader that runs on the host": (Image(domain=xml(head="<bootloader>/bin/sh</bootloader>").encode()), "<bootloader>"),
    "QEMU's command line": (Image(domain=xml(tail="<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-evil'/></qemu:commandline>").encode()), "<qemu:commandline>"),
    "QEMU's properties": (Image(domain=xml(tail="<qemu:override xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'/>").encode()), "<qemu:override>"),
    "another hypervisor's commands": (Image(domain=xml(tail="<bhyve:commandline xmlns:bhyve='http://x'/>").encode()), "<bhyve:commandline>"),
    "a security label": (Image(domain=xml(tail="<seclabel type='static' model='dac'><label>+0:+0</label></seclabel>").encode()), "<seclabel>"),
    "a security label on a disk": (with_disk(DISK_XML.replace("<source file='disk.qcow2'/>", "<source file='disk.qcow2'><seclabel type='static' model='dac'/></source>")), "seclabel>"),
    "memory backed by a file of the host": (Image(domain=xml(tail="<memoryBacking><source type='file'/></memoryBacking>").encode()), "<memoryBacking/source>"),
    "a file of the host as firmware data": (Image(domain=xml(tail="<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>").encode()), "<sysinfo/entry>"),
    "a container's user mapping": (Image(domain=xml(tail="<idmap><uid start='0' target='0' count='1'/></idmap>").encode()), "<idmap>"),
    "the host's secure processor": (Image(domain=xml(tail="<launchSecurity type='sev'/>").encode()), "<launchSecurity>"),
    "a serial port that writes a file": (with_device("<serial type='file'><source path='/etc/cron.d/x'/></serial>"), RESERVED),
    "a serial port that is a pipe": (with_device("<serial type='pipe'><source path='/run/x'/></serial>"), RESERVED),
    "a serial port that is a socket": (with_device("<serial type='unix'><source mode='connect' path='/run/docker.sock'/></serial>"), RESERVED),
    "a serial port that opens a connection": (with_device("<serial type='tcp'><source mode='connect' host='127.0.0.1' service='22'/></serial>"), RESERVED),
    "a serial port of the host": (with_device("<serial type='dev'><source path='/dev/ttyS0'/></serial>"), RESERVED),
    "a serial port with a log file": (with_device("<serial type='pty'><log file='/etc/cron.d/x'/></serial>"), "<devices/serial/log>"),
    "a console over UDP": (with_device("<console type='udp'><source mode='connect' host='1.2.3.4' service='5'/></console>"), RESERVED),
    "a parallel port that writes a file": (with_device("<parallel type='file'><source path='/etc/x'/></parallel>"), RESERVED),
    "a channel to an arbitrary socket": (with_device("<channel type='unix'><source mode='connect' path='/run/libvirt/libvirt-sock'/><target type='virtio' name='x'/></channel>"), RESERVED),
    "the guest agent's channel to an arbitrary socket": (with_device("<channel type='unix'><source mode='connect' path='/run/docker.sock'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"), RESERVED),
    "random numbers from a file": (with_device("<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng>"), "<devices/rng/backend>"),
    "random numbers from a server": (with_device("<rng model='virtio'><backend model='egd' type='tcp'><source mode='connect' host='1.2.3.4' service='5'/></backend></rng>"), "<devices/rng/backend>"),
    "a file of the host as memory": (with_device("<memory model='nvdimm'><source><path>/etc/shadow</path></source><target><size>1</size></target></memory>"), "<devices/memory>"),
    "sound written to a file": (with_device("<audio id='1' type='file' path='/etc/x'/>"), "<devices/audio>"),
    "a screen on a socket": (with_device("<graphics type='vnc' socket='/run/x'/>"), "<devices/graphics>"),
    "a screen on the host's GPU": (with_device("<graphics type='spice'><gl enable='yes' rendernode='/dev/dri/renderD128'/></graphics>"), "<devices/graphics>"),
    "a tap device": (with_device("<interface type='ethernet'/>"), "<devices/interface>"),
    "a virtual function of a network card": (with_device("<interface type='hostdev'><source><address type='pci'/></source></interface>"), "<devices/interface>"),
    "a network over a socket": (with_device("<interface type='vhostuser'><source type='unix' path='/run/x' mode='client'/></interface>"), "<devices/interface>"),
    "a tunnel to another machine": (with_device("<interface type='client'><source address='1.2.3.4' port='5'/></interface>"), "<devices/interface>"),
    "a program run for the network": (with_device("<interface type='user'><script path='/tmp/evil'/></interface>"), "<devices/interface/script>"),
    "a network through a device of the host": (with_device("<interface type='user'><backend tap='/dev/sda'/></interface>"), "<devices/interface/backend>"),
    # The host's disks, through the domain.
    "a disk of the host": (with_disk("<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vda'/></disk>"), "<devices/disk> is of type 'block'"),
    "a disk on a server": (with_disk("<disk type='network' device='disk'><source protocol='nbd' name='x'><host name='1.2.3.4'/></source><target dev='vda'/></disk>"), "<devices/disk> is of type 'network'"),
    "a volume of the host": (with_disk("<disk type='volume' device='disk'><source pool='default' volume='x'/><target dev='vda'/></disk>"), "<devices/disk> is of type 'volume'"),
    "a folder as a disk": (with_disk("<disk type='dir' device='disk'><source dir='/etc'/><target dev='vda'/></disk>"), "<devices/disk> is of type 'dir'"),
    "an NVMe drive of the host": (with_disk("<disk type='nvme' device='disk'><source type='pci' namespace='1'/><target dev='vda'/></disk>"), "<devices/disk> is of type 'nvme'"),
    "a disk with an absolute path": (with_disk(DISK_XML.replace("disk.qcow2", "/etc/shadow")), "is a path, not a file of the image"),
    "a disk with a path through ..": (with_disk(DISK_XML.replace("disk.qcow2", "../../etc/shadow")), "is a path, not a file of the image"),
    "a file of the host as a CD": (with_device("<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sda'/></disk>"), "is a path, not a file of the image"),
    "a disk mirrored to another place": (with_disk(DISK_XML.replace("</disk>", "<mirror type='file' file='/etc/x'/></disk>")), "<devices/disk/mirror>"),
    "a disk whose data is in another place": (with_disk(DISK_XML.replace("<source file='disk.qcow2'/>", "<source file='disk.qcow2'><dataStore type='file'><source file='/etc/shadow'/></dataStore></source>")), "dataStore>"),
    "a disk that is not in the image": (with_disk(DISK_XML.replace("disk.qcow2", "other.qcow2")), "does not hold"),
    # The host's files, through a disk's header.
    "a backing file on the host": (Image(disks=[("disk.qcow2", qcow2(backing="/etc/shadow", backing_format="raw"))]), "not one of the image's own files"),
    "a backing file with a path through ..": (Image(disks=[("disk.qcow2", qcow2(backing="../../etc/shadow", backing_format="raw"))]), "not one of the image's own files"),
    "a backing file on a server": (Image(disks=[("disk.qcow2", qcow2(backing="nbd://1.2.3.4/x", backing_format="raw"))]), "not one of the image's own files"),
    "a backing file given as JSON": (Image(disks=[("disk.qcow2", qcow2(backing=JSON_NAME, backing_format="raw"))]), "not one of the image's own files"),
    "a disk whose name is JSON": (two((JSON_NAME, qcow2()), qcow2(backing=JSON_NAME)), "no plain file name"),
    "a disk whose name begins with a protocol": (two(("nbd:1.2.3.4:5", qcow2()), qcow2(backing="nbd:1.2.3.4:5")), "no plain file name"),
    "a backing format that can refer to other files": (two(("base.qcow2", qcow2()), qcow2(backing="base.qcow2", backing_format="vmdk")), "has the format 'vmdk'"),
    "a backing file without a format": (two(("base.qcow2", qcow2()), qcow2(backing="base.qcow2", backing_format="")), "does not say the format"),
    "a backing chain that loops": (Image(disks=[("disk.qcow2", qcow2(backing="disk.qcow2"))]), "loops"),
    "a disk whose data is in an external file": (Image(disks=[("disk.qcow2", qcow2(incompatible=4))]), "external file"),
    "raw data declared as qcow2": (Image(disks=[("disk.qcow2", b"\0" * 65536)]), "not in qcow2 format"),
    "qcow2 declared as raw": (with_disk(DISK_XML.replace("type='qcow2'", "type='raw'")), "although the image's domain says raw"),
    "a format other than qcow2 and raw": (with_disk(DISK_XML.replace("type='qcow2'", "type='vmdk'")), "has the format 'vmdk'"),
    "a disk of an exabyte": (Image(disks=[("disk.qcow2", qcow2(size=1 << 60, cluster_bits=21, l1=1 << 21))]), "more than max-disk"),
    "clusters of an impossible size": (Image(disks=[("disk.qcow2", qcow2(cluster_bits=63))]), "none that QEMU knows"),
    "an L1 table of an impossible size": (Image(disks=[("disk.qcow2", qcow2(l1=0xFFFFFFFF))]), "L1 table is too large"),
    "an unknown qcow2 version": (Image(disks=[("disk.qcow2", qcow2(version=9))]), "version 9 is not known"),
    "an encrypted disk": (Image(disks=[("disk.qcow2", qcow2(crypt=2))]), "it is encrypted"),
    "a million snapshots": (Image(disks=[("disk.qcow2", qcow2(snapshots=1 << 20))]), "too many snapshots"),
    "a truncated header": (Image(disks=[("disk.qcow2", qcow2()[:40])]), "cut short"),
    # Out of the folder, over the disk's edge: through gzip.
    "a file name with a path": (Image(disks=[("/etc/cron.d/x", qcow2())]), "no plain file name"),
    "a file name with a path through ..": (Image(disks=[("../x", qcow2())]), "no plain file name"),
    "the parent folder as a file name": (Image(disks=[("..", qcow2())]), "no plain file name"),
    "the name of the marker file": (Image(disks=[(".sarde-image.json", qcow2())]), "no plain file name"),
    "a file name with a newline": (Image(disks=[("a\nb", qcow2())]), "no plain file name"),
    "a file name that is not UTF-8": (Image(disks=[("a\xff", qcow2())]), "no plain file name"),
    "a disk without a file name": (Image(disks=[(None, stream(qcow2(), flags_name=False), qcow2())]), "no plain file name"),
    "two files with the same name": (Image(disks=[("disk.qcow2", qcow2()), ("disk.qcow2", qcow2(size=2 << 20))]), "two disks of this name"),
    "a compression bomb": (Image(disks=[(None, stream(b"\0" * (300 << 20)), b"\0" * (300 << 20))]), "max-image"),
    "more data than declared": (Image(edit_manifest=lambda m: m["layers"][1].update(annotations={"sarde-executor.disk.size": "1000"})), "of what it declares"),
    "a stream that ends too early": (Image(disks=[(None, stream(qcow2())[:-20], qcow2())]), "ends too early"),
    "a damaged stream": (Image(disks=[(None, stream(qcow2())[:60] + b"\xff" * 40 + stream(qcow2())[100:], qcow2())]), "damaged"),
    "a wrong checksum": (Image(disks=[(None, stream(qcow2())[:-8] + b"\1\2\3\4" + stream(qcow2())[-4:], qcow2())]), "checksum is wrong"),
    "a layer that is not gzip": (Image(disks=[(None, b"x" * 4096, b"x" * 4096)]), "not gzip"),
    "a member with a false size": (Image(disks=[(None, member(qcow2(), size=40), qcow2())]), "unpacks to more"),
    "a member larger than the stream": (Image(disks=[(None, member(qcow2(), size=1 << 20), qcow2())]), "ends too early"),
    # Other content than the digests say.
    "a layer that was changed": (Image(damage=flipped), "does not match its digest"),
    "a layer of another size": (edited(size=5), "does not match its digest"),
    "a layer from another folder": (edited(digest="sha256:../../../../etc/passwd"), "is not a sha256 digest"),
    "a layer with another hash algorithm": (edited(digest="md5:" + "0" * 32), "is not a sha256 digest"),
    "a negative size": (edited(size=-1), "not a positive number"),
    # Documents that are not what they should be.
    "an XML bomb": (Image(domain=(ENTITIES + xml(head="<title>&b;</title>")).encode()), "is not part of a domain"),
    "XML without closing tags": (Image(domain=b"<domain>" * 100000), "not valid XML"),
    "deeply nested XML": (Image(domain=b"<domain>" + b"<a>" * 200 + b"</a>" * 200 + b"</domain>"), "nested too deeply"),
    "XML that is not a domain": (Image(domain=b"<network/>"), "not a libvirt domain"),
    "two domains": (Image(edit_manifest=lambda m: m["layers"].insert(1, copy.deepcopy(m["layers"][0]))), "it has two layers of type"),
    "a domain of ten megabytes": (Image(domain=(xml(head="<!--" + "x" * (10 << 20) + "-->")).encode()), "is too much for"),
    "a petabyte of memory": (Image(domain=xml(memory="1073741824").encode()), "of memory"),
    "a million processors": (Image(domain=xml(vcpu="1000000").encode()), "processors"),
    "an architecture with a path": (Image(domain=xml(arch="../../x").encode()), "architecture"),
    "a chunk in the wrong order": (edited(mediaType="application/x-qemu-disk+gzip;chunk=7"), "chunk 7"),
    "a manifest without layers": (Image(edit_manifest=lambda m: {"config": m["config"]}), "lists no layers"),
    "a manifest that is not JSON": (Image(edit_manifest=lambda m: b"{"), "not valid JSON"),
    "a deeply nested manifest": (Image(edit_manifest=lambda m: b"[" * 100000 + b"]" * 100000), "levels deep"),
    "a config that is not an object": (Image(edit_config=lambda c: b"[]"), "not have the expected form"),
    "a config that lists too few disks": (Image(edit_config=lambda c: c["rootfs"]["diff_ids"].pop() and None), "diff_ids for"),
    "a user name that is not a string": (Image(vm_config={"users": [{"username": {"a": 1}}]}), "the vm config"),
    "an invalid port": (Image(vm_config={"services": [{"service": "ssh", "port": 99999}]}), "the vm config"),
    # Numbers and names that libvirt and QEMU would take as they are.
    "a boot order of four billion": (with_boot("4294967295"), "boot order '4294967295'"),
    "a boot order with 23 digits": (with_boot("99999999999999999999999"), "boot order"),
    "a boot order of zero": (with_boot("0"), "boot order '0'"),
    "a negative boot order": (with_boot("-1"), "boot order '-1'"),
    "a boot order that is a word": (with_boot("first"), "boot order 'first'"),
    "two disks with boot order 1": (disks_with("<boot order='1'/>", "<boot order='1'/>"), "two disks with the boot order 1"),
    "two disks at the same target": (Image(domain=xml(disk=DISK_XML + DISK_XML.replace("disk.qcow2", "b.qcow2")).encode(), disks=[("disk.qcow2", qcow2()), ("b.qcow2", qcow2())]), "two disks at one target"),
    "the same file as two disks": (with_disk(DISK_XML + DISK_XML.replace("vda", "vdb")), "two disks in one file"),
    "27 disks": (many_disks(27), "more than 26 disks"),
    "too many SCSI controllers": (with_device("<controller type='scsi' index='0' model='virtio-scsi'/>" * 100), "more than 8 SCSI controllers"),
    "no processors": (Image(domain=xml(vcpu="0").encode()), "asks for '0' processors"),
    "a negative number of processors": (Image(domain=xml(vcpu="-1").encode()), "asks for '-1' processors"),
    "a number of processors beyond 32 bits": (Image(domain=xml(vcpu="4294967297").encode()), "processors"),
    "a word as the number of processors": (Image(domain=xml(vcpu="many").encode()), "processors"),
    "no memory": (Image(domain=xml(memory="0").encode()), "of memory"),
    "negative memory": (Image(domain=xml(memory="-256").encode()), "of memory"),
    "memory beyond 64 bits": (Image(domain=xml(memory="99999999999999999999").encode()), "of memory"),
    "memory that would overflow to a small value": (Image(domain=xml(memory="17592186044417").encode()), "of memory"),
    "memory in an unusual unit": (Image(domain=xml().replace("unit='MiB'", "unit='EiB'").encode()), "of memory"),
    "an unknown architecture": (Image(domain=xml(arch="z80").encode()), "architecture 'z80'"),
    "an empty architecture": (Image(domain=xml(arch="").encode()), "architecture ''"),
    "an unknown machine type": (machine("evil-1.0"), "machine type 'evil-1.0'"),
    "a machine type with a path": (machine("../../q35"), "machine type"),
    "a machine type with an option": (machine("q35,dump-guest-core=on"), "machine type"),
    "a machine type with a name of nearly a megabyte": (machine("m" * 900000), "machine type"),
    "four terabytes of memory with the default limits": (Image(domain=xml(memory="4194304").encode()), "more than max-memory"),
    "512 processors with the default limits": (Image(domain=xml(vcpu="512").encode()), "more than max-vcpus"),
    # Time and memory that grow faster than the input.
    "sixty thousand nested elements": (Image(domain=b"<domain>" + b"<a>" * 60000 + b"</a>" * 60000 + b"</domain>"), "nested too deeply"),
    "twenty thousand kinds of devices": (with_device("".join(f"<d{i}/>" for i in range(20000))), "more than 10000 elements"),
    "nested elements with names of a hundred kilobytes": (Image(domain=b"<domain>" + nested("n" * 100000, 4) + b"</domain>"), "endless name"),
    "60 nested elements with names of two hundred bytes": (Image(domain=b"<domain>" + nested("n" * 200, 60) + b"</domain>"), "endless name"),
    "a domain of two megabytes": (Image(domain=xml(head="<title>" + "x" * (2 << 20) + "</title>").encode()), "too large for a domain"),
    "nine thousand devices to refuse": (with_device("<hostdev/>" * 9000), "<devices/hostdev>"),
    "60 nested elements with a namespace": (Image(domain=xml(tail=nested("x:y", 60).decode()).encode()), "<x:y>"),
    "ten thousand layers": (Image(edit_manifest=lambda m: m["layers"].extend([m["layers"][1]] * 10000)), "10001 disk files; an image may have 64"),
    "ten thousand chunks": (Image(edit_manifest=lambda m: m["layers"].extend(dict(m["layers"][1], mediaType=f"{DISK};chunk={i + 1}") for i in range(10000))), "unpacks to more"),
    "fifty thousand empty members": (Image(disks=[(None, gzip.compress(b"", mtime=0) * 50000 + stream(qcow2()), qcow2())]), "no plain file name"),
    "deeply nested lists in the config": (Image(edit_config=lambda c: b"[" * 200000), "levels deep"),
    "a vm config of a hundred thousand users": (Image(vm_config={"users": [{"username": ""}] * 100000}), "there is no user name"),
    "two lists of devices": (Image(domain=xml(tail="<devices><hostdev/></devices>").encode()), "two elements <devices>"),
    "two definitions of the operating system": (Image(domain=xml(tail="<os><type>hvm</type></os>").encode()), "two elements <os>"),
    "sixty-five disk files": (many_disks(65), "an image may have 64"),
    "a chain of forty backing files": (chain(40), "has more than 32 files"),
    "five disks on an IDE bus": (with_ide_disks(5), "more than 4 disks on one kind of bus, ide"),
    "one blob with two sizes": (Image(disks=[("disk.qcow2", qcow2()), ("b.qcow2", qcow2())], edit_manifest=lambda m: m["layers"].append(dict(m["layers"][1], size=m["layers"][1]["size"] + 1))), "one blob two sizes"),
    # Text that would be acted upon where it is shown.
    "an architecture with terminal escapes": (Image(domain=xml(arch="\x1b[31mred".replace("\x1b", "&#27;")).encode()), "architecture"),
    "a machine type with a GitLab section marker": (machine("section_start:1:x&#13;&#27;[0K"), "machine type"),
    "a machine type with right-to-left characters": (machine("\u202egnp.exe"), "machine type"),
    "an element name with right-to-left characters": (with_device("<host\u202edev:x/>"), "devices/"),
    "a disk with a name of nearly a megabyte": (with_disk(DISK_XML.replace("disk.qcow2", "d" * 900000)), "does not hold"),
    "a machine type with invisible characters": (machine("q\u3164\u0600\ue000"), r"q\xe3\x85\xa4\xd8\x80\xee\x80\x80"),
    "a digest with an invisible character": (edited(digest="sha256:\u200b" + "0" * 60), "is not a sha256 digest"),
    "a port with terminal escapes": (Image(vm_config={"services": [{"service": "ssh", "port": "\x07\x1b]0;x\x07"}]}), "the vm config"),
    # Bytes before bounds.
    "layers declared as exabytes": (edited(size=1 << 62), "more than max-image"),
    "layers whose sizes would overflow when added": (Image(edit_manifest=lambda m: m["layers"].extend([dict(m["layers"][1], size=1 << 63)] * 2)), "one blob two sizes"),
    "a config declared as a gigabyte": (Image(edit_manifest=lambda m: m["config"].update(size=1 << 30)), "is too much for"),
    "a vm config declared as a gigabyte": (Image(vm_config={}, edit_manifest=lambda m: m["layers"][1].update(size=1 << 30)), "is too much for"),
    "a domain declared as a gigabyte": (Image(edit_manifest=lambda m: m["layers"][0].update(size=1 << 30)), "is too much for"),
    "a disk declared as larger than allowed": (Image(edit_manifest=lambda m: m["layers"][1].update(annotations={"sarde-executor.disk.size": str(1 << 62)})), "more than max-image"),
    "several disks that are too large in total": (many_disks(3, qcow2(size=1 << 40, l1=1 << 11)), "more than max-disk"),
    # Headers that QEMU would not open.
    "reference counts of 512 bits": (Image(disks=[("disk.qcow2", qcow2(refcount_order=9))]), "reference counts of 2^9"),
    "no reference counts": (Image(disks=[("disk.qcow2", qcow2(refcounts=0))]), "no reference counts"),
    "an endless table of reference counts": (Image(disks=[("disk.qcow2", qcow2(refcounts=1 << 20))]), "table of reference counts is too large"),
    "a header longer than a cluster": (Image(disks=[("disk.qcow2", qcow2(length=1 << 30))]), "longer than a cluster"),
    "a header shorter than its fields": (Image(disks=[("disk.qcow2", qcow2(length=80))]), "too short"),
    "an L1 table too small for the disk": (Image(disks=[("disk.qcow2", qcow2(size=1 << 40))]), "L1 table is too small"),
    "an unknown feature": (Image(disks=[("disk.qcow2", qcow2(incompatible=1 << 63))]), "features that are not known"),
    "a disk marked as corrupt": (Image(disks=[("disk.qcow2", qcow2(incompatible=2))]), "marked as corrupt"),
    "a compression type that is not stated": (Image(disks=[("disk.qcow2", qcow2(incompatible=8))]), "compression type"),
    "an L1 table between two clusters": (Image(disks=[("disk.qcow2", patched(40, ">Q", 0x30001))]), "the L1 table begins where none can"),
    "reference counts at an impossible offset": (Image(disks=[("disk.qcow2", patched(48, ">Q", (1 << 63) + (1 << 16)))]), "begins where none can"),
    "a list of snapshots between two clusters": (Image(disks=[("disk.qcow2", patched(64, ">Q", 9))]), "the list of snapshots begins where none can"),
    "a damaged list of snapshots": (Image(disks=[("disk.qcow2", patched(60, ">IQ", 3, 0x20000, then=(0x20024, b"\xff" * 4)))]), "list of snapshots is damaged"),
    "an endless header extension": (Image(disks=[("disk.qcow2", patched(104, ">II", 0x12345678, 0x7FFFFFFF))]), "extension"),
    "the name of a backing file beyond the first cluster": (Image(disks=[("disk.qcow2", patched(8, ">QI", 1 << 20, 8))]), "behind the first cluster"),
    "the name of a backing file with a megabyte": (Image(disks=[("disk.qcow2", patched(8, ">QI", 200, 1 << 20))]), "name is too long"),
    "encryption keys in a header extension": (Image(disks=[("disk.qcow2", patched(104, ">IIQQ", 0x0537BE77, 16, 0x20000, 0x1000))]), "an extension that QEMU would not take"),
    "an invalid number of bitmaps": (Image(disks=[("disk.qcow2", patched(104, ">IIIIQQ", 0x23852875, 24, 0, 0, 64, 0x20000))]), "an extension that QEMU would not take"),
    "bitmaps between two clusters": (Image(disks=[("disk.qcow2", patched(104, ">IIIIQQ", 0x23852875, 24, 1, 0, 64, 0x20001))]), "an extension that QEMU would not take"),
    "bitmaps of a terabyte": (Image(disks=[("disk.qcow2", patched(104, ">IIIIQQ", 0x23852875, 24, 1, 0, 1 << 40, 0x20000))]), "an extension that QEMU would not take"),
    "subclusters of sixteen bytes": (Image(disks=[("disk.qcow2", qcow2(size=1 << 10, cluster_bits=9, incompatible=16))]), "too small for subclusters"),
    # Logins that nobody can log in with.
    "a user without a name": (Image(vm_config={"users": [{"username": "", "password": "x"}]}), "there is no user name"),
    "a user name of fifty kilobytes": (Image(vm_config={"users": [{"username": "u" * 50000, "password": "x"}]}), "is not a valid user name"),
    "a password of fifty kilobytes": (Image(vm_config={"users": [{"username": "u", "password": "x" * 50000}]}), "the password of 'u' is longer"),
    "a user name with two lines": (Image(vm_config={"users": [{"username": "u\nroot", "password": "x"}]}), "is not a valid user name"),
    "a user name that moves the cursor": (Image(vm_config={"users": [{"username": "\x1b[2Ju\u202e", "password": "x"}]}), "is not a valid user name"),
}

# A blob that is not what it is called: the cache is damaged, which is the host's fault; trying again may help.
HOSTS_FAULT = {"a layer that was changed", "a layer of another size"}
