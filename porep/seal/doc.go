// Package seal makes sealed sectors and reads them: it writes data into a
// sector, seals it in durable steps, checks what it made, opens it for proofs and
// gets the data back.
//
// A sector lives in one directory, with the file names of the reference
// implementation's cache:
//
//	unsealed                       the padded data
//	sealed                         the replica
//	p_aux                          CommC || CommRLast
//	sc-02-data-tree-d.dat          tree over the data
//	sc-02-data-layer-{1..L}.dat    labels
//	sc-02-data-tree-c[-i].dat      trees over the columns, one a base tree
//	sc-02-data-tree-r-last[-i].dat trees over the replica, the lowest rows left out
//	seal.json                      what is done: size, time and digest of every file
//	seal.lock                      locked by the process that seals
//
// # Durability
//
// Every file is written beside its place, synced, renamed, its directory synced,
// and only then noted in seal.json, which is replaced in the same way. So a file
// that is noted was whole on the disk before the note was, and neither kill -9
// nor a loss of power leaves a noted file torn, as long as the disk does what a
// sync asks of it. A killed process loses the file that it was writing and no
// more. All steps are functions of the data, the ticket and the identity of the
// sector: doing one twice gives the same bytes.
//
// What is left to find are files that changed after they were noted: bad blocks,
// disks that lie about syncs, other programs. A sector that is opened again
//
//   - makes a file that is missing or has another size again;
//   - compares a file whose time of change is another than was noted with its
//     digest, before anything else is done;
//   - compares every file that a step reads in bulk with its digest before that
//     step, unless this process wrote or compared it already.
//
// Files that no further step reads are not read on a restart: a 32 GiB sector is
// half a terabyte. The last step checks random nodes of all of them, whoever
// wrote them, before the sector is called finished; [Sector.Check] reads them all.
//
// A digest is the SHA-256 of the SHA-256 digests of the consecutive MiB of the
// file, so that all cores can compute it; that of a layer is computed while it
// grows.
//
// # One process at a time
//
// [Open] locks the directory for as long as the sector is open, and a second
// process is told who holds it; the kernel releases the lock of a process that
// dies. [Find] and [OpenReplica] read a sector and take no lock: a finished
// sector may be proven while it is unsealed, or while its owner seals others.
package seal
