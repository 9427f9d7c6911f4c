"""Where the golden vectors and the facts of Kafka's message definitions are: folders `vectors` and `messages`,
and error-codes.json.

OTTLA_SHARED's copy when there is one, else the committed archive, unpacked into a scratch folder."""
import os
import tarfile

ARCHIVE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'golden', 'kafka-vectors.tar.xz')


def folder(scratch):
    shared = os.path.join(os.environ.get('OTTLA_SHARED', ''), 'kafka-protocol')
    if os.environ.get('OTTLA_SHARED') and os.path.isdir(os.path.join(shared, 'vectors')):
        return shared
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(scratch)
    return scratch
