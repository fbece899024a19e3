"""What hostile agents leave for the executor's own git code. {SIGN} is a file outside that a planted program makes; {SECRET} a folder outside;
{OTHER} another repository's mirror, of which the agent is taken to know everything (paths, ids) but the content ({BARE}: where it is served from): {COMMIT}, {TREE}, {BLOB}.

`control`: git's arguments with which plain git, in the same workspace and outside of the sandbox, falls for it."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Poison:
    name: str
    script: str
    control: tuple = ()
    notice: str = ""  # what the build's log must say


def config(name, text, control=("status",), more=""):
    return Poison(name, f"cat >>.git/config <<'END'\n{text}\nEND\n{more}", tuple(control))


PROGRAM = 'printf "#!/bin/sh\\ntouch {SIGN}\\ncat\\n" >p; chmod +x p'
ATTRIBUTES = "echo '* filter=evil diff=evil merge=evil' >.gitattributes"
COMMIT = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
HOOK = "mkdir -p {D}; for h in pre-commit post-commit pre-push post-checkout post-index-change reference-transaction pre-auto-gc; do printf '#!/bin/sh\\ntouch {SIGN}\\n' >{D}/$h; chmod +x {D}/$h; done"

# A program is planted: it must not run.
RUNS = [
    config("core.fsmonitor", '[core]\nfsmonitor = "touch {SIGN}; false"'),
    config("core.sshCommand", '[core]\nsshCommand = "touch {SIGN}; false"', ("fetch", "ssh://nobody@127.0.0.1/x")),
    config("core.gitProxy", "[core]\ngitProxy = ./p", ("fetch", "git://127.0.0.1/x"), PROGRAM),
    config("core.editor", '[core]\neditor = "touch {SIGN}; false"', ("commit", "--allow-empty")),
    config("core.hooksPath", "[core]\nhooksPath = evil", COMMIT, HOOK.replace("{D}", "evil")),
    Poison("hooks", HOOK.replace("{D}", ".git/hooks"), COMMIT),
    config("a filter that cleans", '[filter "evil"]\nclean = "touch {SIGN}; cat"\nrequired = true', ("add", "-A"), ATTRIBUTES),
    config("a filter that smudges", '[filter "evil"]\nsmudge = "touch {SIGN}; cat"', ("checkout-index", "-f", "-a"), ATTRIBUTES + "; rm a.txt"),
    config("a filter that is a process", '[filter "evil"]\nprocess = "touch {SIGN}; cat"', ("add", "-A"), ATTRIBUTES),
    config("diff.external", '[diff]\nexternal = "touch {SIGN}; true"', ("diff",), "echo more >>README.md"),
    config("a diff driver", '[diff "evil"]\ncommand = "touch {SIGN}; true"', ("diff",), ATTRIBUTES + "; echo more >>README.md"),
    config("a text converter", '[diff "evil"]\ntextconv = "touch {SIGN}; cat"', ("diff",), ATTRIBUTES + "; echo more >>README.md"),
    config("an alias", '[alias]\nx = "!touch {SIGN}"', ("x",)),
    config("credential.helper", '[credential]\nhelper = "!touch {SIGN}; false"', ("fetch", "{URL}")),
    config("gpg.program", "[commit]\ngpgSign = true\n[gpg]\nprogram = ./p", COMMIT, PROGRAM),
    config("url.insteadOf", '[url "ext::touch {SIGN} "]\ninsteadOf = {URL}\n[protocol "ext"]\nallow = always', ("fetch", "{URL}")),
    config("include.path", "[include]\npath = ../evil.config", ("status",), "printf '[core]\\nfsmonitor = \"touch {SIGN}; false\"\\n' >evil.config"),
    config("a worktree's configuration", "[core]\nrepositoryformatversion = 1\n[extensions]\nworktreeConfig = true", ("status",),
           "printf '[core]\\nfsmonitor = \"touch {SIGN}; false\"\\n' >.git/config.worktree"),
    config("a submodule's update command", '[submodule "x"]\nactive = true\nurl = {URL}\nupdate = "!touch {SIGN};"', ("-c", "http.extraHeader={AUTHORIZATION}", "submodule", "update", "--init"),
           "printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = {URL}\\n' >.gitmodules; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD^),x; mkdir x"),
    Poison("a submodule's odd URLs", "printf '[submodule \"../../x\"]\\n\\tpath = ../x\\n\\turl = ext::touch% {SIGN}\\n\\tupdate = !touch {SIGN}\\n[submodule \"-u\"]\\n\\tpath = --upload-pack\\n\\turl = -u./p\\n' >.gitmodules"),
    Poison(".git as a file", "mv .git real; echo 'gitdir: real' >.git; git config core.fsmonitor 'touch {SIGN}; false'", ("status",)),
    Poison(".git as a link", "mv .git real; ln -s real .git; git config core.fsmonitor 'touch {SIGN}; false'", ("status",)),
    Poison("a common folder elsewhere", "cp -r .git common; echo ../common >.git/commondir; printf '[core]\\nfsmonitor = \"touch {SIGN}; false\"\\n' >>common/config", ("status",)),
    Poison("a folder that is a bare repository", "git init -q --bare b; printf '[core]\\nfsmonitor = \"touch {SIGN}; false\"\\nbare = false\\nworktree = ..\\n' >>b/config", ("-C", "b", "status")),
    Poison("a repository inside", "git init -q in; git -C in config core.fsmonitor 'touch {SIGN}; false'; echo x >in/x", ("-C", "in", "status")),
]

LINKED = "cd .git/objects; for o in {COMMIT} {TREE} {BLOB}; do mkdir -p ${o:0:2}; ln -s {OTHER}/objects/${o:0:2}/${o:2} ${o:0:2}/${o:2}; done; cd ../.."
TAKE = "; echo {COMMIT} >.git/refs/heads/{BRANCH}"
SHOW = ("cat-file", "-p", "{BLOB}")

# The executor is to read, for the agent, what is outside: it must not.
READS = [
    Poison("alternates", "echo {OTHER}/objects >.git/objects/info/alternates" + TAKE, SHOW),
    Poison("links for objects", LINKED + TAKE, SHOW, "cannot be used"),
    Poison("links for objects below a commit of its own", LINKED + "; git commit-tree -p HEAD -m mine {TREE} >.git/refs/heads/{BRANCH} || echo 'tree is not there'; "
           "c=$(printf 'tree {TREE}\\nparent %s\\nauthor a <a@b> 1 +0000\\ncommitter a <a@b> 1 +0000\\n\\nmine\\n' $(git rev-parse HEAD) | git hash-object -w -t commit --literally --stdin); echo $c >.git/refs/heads/{BRANCH}",
           SHOW, "cannot be used"),
    Poison("links for folders of objects", "cd .git/objects; for o in {COMMIT} {TREE} {BLOB}; do rm -rf ${o:0:2}; ln -s {OTHER}/objects/${o:0:2} ${o:0:2}; done; cd ../.." + TAKE, SHOW, "cannot be used"),
    Poison("a link for all objects", "rm -rf .git/objects; ln -s {OTHER}/objects .git/objects" + TAKE, SHOW, "cannot be used"),
    Poison("links for packs", "ln -s {OTHER}/objects/pack/p.pack .git/objects/pack/pack-{COMMIT}.pack; ln -s {OTHER}/objects/pack/p.idx .git/objects/pack/pack-{COMMIT}.idx" + TAKE, SHOW, "cannot be used"),
    Poison("a link for HEAD", "rm .git/HEAD; ln -s {SECRET}/ref .git/HEAD"),
    Poison("a link for the branch", "rm .git/refs/heads/{BRANCH}; ln -s {SECRET}/ref .git/refs/heads/{BRANCH}", ("rev-parse", "HEAD")),
    Poison("a link for refs", "rm -r .git/refs/heads; ln -s {SECRET} .git/refs/heads; echo 'ref: refs/heads/ref' >.git/HEAD", ("rev-parse", "HEAD")),
    Poison("a link for packed-refs", "rm .git/refs/heads/{BRANCH}; ln -s {SECRET}/packed-refs .git/packed-refs", ("rev-parse", "HEAD")),
    Poison("a file for .git that leads to a mirror", "rm -rf .git; echo 'gitdir: {OTHER}' >.git", SHOW),
    Poison("a link for .git that leads to a mirror", "rm -rf .git; ln -s {OTHER} .git", SHOW),
    config("core.worktree", "[core]\nworktree = {SECRET}", ("rev-parse", "--show-toplevel")),
    Poison("a file that becomes another's repository", "rm README.md; mkdir README.md; echo 'gitdir: {BARE}' >README.md/.git", ("-C", "README.md", "rev-parse", "HEAD")),
    Poison("a submodule that is another's repository", "mkdir sub; echo 'gitdir: {BARE}' >sub/.git; printf '[submodule \"sub\"]\\n\\tpath = sub\\n\\turl = ./sub\\n' >.gitmodules", ("-C", "sub", "rev-parse", "HEAD")),
    Poison("a link for the index", "rm -f .git/index; ln -s {SECRET}/ref .git/index"),
    Poison("a link for the configuration", "rm .git/config; ln -s {SECRET}/config .git/config", ("config", "leak.secret")),
    Poison("links for files", "ln -s {SECRET}/ref leak; ln -s {SECRET} leaks"),
    Poison("a link for .gitignore", "ln -s {SECRET}/ignore .gitignore"),
    Poison("a link for .gitignore in a folder", "mkdir d; ln -s {SECRET}/ignore d/.gitignore; echo kept >d/made.txt"),
    Poison("a link for .gitattributes", "ln -s {SECRET}/attributes .gitattributes"),
    Poison("a link for .gitmodules", "ln -s {SECRET}/config .gitmodules"),
]

FIFO = "rm -rf {F}; mkfifo {F}"


def pack(text):
    """Writes a pack with the index that the agent wants, and makes HEAD lead to its first object. An entry: kind, base (in front of the data), data, id (b"" = not in the index)."""
    return r"""
python3 - <<'END'
import hashlib, struct, zlib
D, E = b"\x11" * 20, b"\x22" * 20
def number(value):
    digits = [value & 127]
    while value := value >> 7:
        digits[-1] |= 128; digits.append(value & 127)
    return bytes(digits)
def delta(size, becomes, added):
    kept = becomes - len(added)
    return number(size) + number(becomes) + b"\xb0" + struct.pack("<H", kept) + (bytes([len(added)]) + added if added else b"")
def put(head, entries):
    body, index = b"PACK" + struct.pack(">II", 2, len(entries)), []
    for kind, base, data, *name in entries:
        first = kind << 4 | len(data) & 15
        entry = (bytes([first | 128]) + number(len(data) >> 4) if len(data) > 15 else bytes([first])) + base + zlib.compress(data)
        if (name or [head])[0]:
            index.append(((name or [head])[0], zlib.crc32(entry), len(body)))
        body += entry
    body += hashlib.sha1(body).digest()
    index.sort()
    text = struct.pack(">II", 0xff744f63, 2) + b"".join(struct.pack(">I", sum(name[0] <= i for name, _, _ in index)) for i in range(256))
    text += b"".join(name for name, _, _ in index) + b"".join(struct.pack(">I", crc) for _, crc, _ in index) + b"".join(struct.pack(">I", at) for _, _, at in index) + body[-20:]
    path = ".git/objects/pack/pack-" + body[-20:].hex()
    open(path + ".pack", "wb").write(body)
    open(path + ".idx", "wb").write(text + hashlib.sha1(text).digest())
    open(".git/refs/heads/{BRANCH}", "w").write(head.hex())
""" + text + "\nEND"


# What must not hold up the executor, nor break it.
ODD = [
    *(Poison(f"a FIFO for {name}", FIFO.replace("{F}", name)) for name in (
        ".git", ".git/HEAD", ".git/config", ".git/index", ".git/packed-refs", ".git/objects", ".git/objects/pack", ".gitattributes", ".gitignore", ".gitmodules", "README.md")),
    Poison("a FIFO for a folder's rules", "mkdir d; mkfifo d/.gitattributes d/.gitignore; echo x >d/x"),
    Poison("a FIFO for the object that HEAD names", "o=1111111111111111111111111111111111111111; echo $o >.git/refs/heads/{BRANCH}; mkdir -p .git/objects/11; mkfifo .git/objects/11/${o:2}", notice="cannot be used"),
    Poison("a FIFO for a pack's index", "o=1111111111111111111111111111111111111111; echo $o >.git/refs/heads/{BRANCH}; cd .git/objects/pack; echo x >pack-$o.pack; mkfifo pack-$o.idx; cd ../../..", notice="cannot be used"),
    Poison("a device for rules", "ln -s /dev/zero .gitattributes; ln -s /dev/zero .gitignore"),
    Poison("a corrupt index", "head -c 100000 /dev/urandom >.git/index"),
    Poison("a huge index", "truncate -s 3G .git/index"),
    Poison("a huge pack", "o=1111111111111111111111111111111111111111; echo $o >.git/refs/heads/{BRANCH}; truncate -s 3G .git/objects/pack/pack-$o.pack; truncate -s 3G .git/objects/pack/pack-$o.idx", notice="cannot be used"),
    Poison("huge rules", "echo made.txt >.gitignore; truncate -s 2G .gitignore; mkdir d; echo '* text eol=crlf' >.git/info/x; truncate -s 2G d/.gitattributes; echo x >d/x"),
    Poison("a huge file whose line ends are looked for", "echo '*.big text' >.gitattributes; truncate -s 130M a.big"),
    Poison("a huge packed-refs", "rm .git/refs/heads/{BRANCH}; truncate -s 3G .git/packed-refs"),
    Poison("refs in a circle", "echo 'ref: refs/heads/a' >.git/HEAD; echo 'ref: refs/heads/b' >.git/refs/heads/a; echo 'ref: refs/heads/a' >.git/refs/heads/b"),
    Poison("a ref that leads out", "echo 'ref: refs/../../../../ref' >.git/HEAD"),
    Poison("an object that is a bomb", r"""
python3 - <<'END'
import hashlib, os, zlib
size = (256 << 20) + 1
packer, digest, part = zlib.compressobj(1), hashlib.sha1(), bytes(1 << 20)
pieces = [b"blob %d\0" % size] + [part] * 256 + [b"\0"]
packed = []
for piece in pieces:
    digest.update(piece); packed.append(packer.compress(piece))
name = digest.hexdigest()
os.makedirs(f".git/objects/{name[:2]}", exist_ok=True)
open(f".git/objects/{name[:2]}/{name[2:]}", "wb").write(b"".join(packed) + packer.flush())
open("bomb", "w").write(name)
END
c=$(git commit-tree -p HEAD -m bomb $(printf "100644 blob $(cat bomb)\tbomb\n" | git mktree --missing)); git update-ref HEAD $c; rm bomb""", notice="too large"),
    Poison("an object whose head lies about its size", r"""
python3 - <<'END'
import os, zlib
name = "1" * 40
os.makedirs(".git/objects/11", exist_ok=True)
open(f".git/objects/11/{name[2:]}", "wb").write(zlib.compress(b"commit 9000000000000\0tree"))
open(".git/refs/heads/{BRANCH}", "w").write(name)
END""", notice="cannot be used"),
    *(Poison(f"a commit whose tree has {label}", f"b=$(git hash-object -w README.md); t=$({{ printf '{mode} {name}\\0'; printf $b | sed 's/../\\\\x&/g' | xargs -0 printf; }} | git hash-object -w -t tree --literally --stdin); "
             "git update-ref HEAD $(git commit-tree -p HEAD -m bad $t); git read-tree HEAD^", notice="cannot be used")
      for label, mode, name in ((".git", "100644", ".git"), (".GIT", "100644", ".GIT"), ("..", "100644", ".."), ("a path for a name", "100644", "a/b"))),
    Poison("a pack with an object that is its own base", pack("put(D, [(7, D, delta(9, 9, b''))])"), notice="a pack is broken"),
    Poison("a pack with two objects that are each other's bases", pack("put(D, [(7, E, delta(9, 9, b'')), (7, D, delta(9, 9, b''), E)])"), notice="a pack is broken"),
    Poison("a pack with an object twice, once with itself at its end", pack("""
import subprocess
text = subprocess.run(["git", "cat-file", "commit", "HEAD"], capture_output=True, check=True).stdout
one, two = text + b"x", text + b"xy"
a, b = (hashlib.sha1(b"commit %d\\0" % len(data) + data).digest() for data in (one, two))
put(a, [(1, b"", one, b""), (7, a, delta(len(one), len(two), b"y"), b), (7, b, delta(len(two), len(one), b""), a)])"""), notice="a pack is broken"),
    Poison("a pack with an object twice", pack("""
import subprocess
text = subprocess.run(["git", "cat-file", "commit", "HEAD"], capture_output=True, check=True).stdout
one, two = text + b"x", text + b"xy"
a, b = (hashlib.sha1(b"commit %d\\0" % len(data) + data).digest() for data in (one, two))
put(a, [(1, b"", one, b""), (1, b"", one)])"""), notice="a pack has an object twice"),
    Poison("a commit whose tree has .git/hooks", "b=$(git hash-object -w README.md); "
           "h=$(printf \"100755 blob $b\\tpost-checkout\\n\" | git mktree); g=$(printf \"040000 tree $h\\thooks\\n\" | git mktree); "
           "t=$({ printf '40000 .git\\0'; printf $g | sed 's/../\\\\x&/g' | xargs -0 printf; } | git hash-object -w -t tree --literally --stdin); "
           "git update-ref HEAD $(git commit-tree -p HEAD -m bad $t); git read-tree HEAD^", notice="cannot be used"),
]
