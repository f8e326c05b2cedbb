package gateway

import (
	"strings"

	"github.com/ipfs/go-cid"
)

// trustlessCAR asks for archives, each by the query and by the Accept header.
func (s *suite) trustlessCAR() {
	s.part("paths", (*suite).carPaths)
	s.part("scopes", (*suite).carScopes)
	s.part("bytes", (*suite).carBytes)
	s.part("duplicates", (*suite).carDuplicates)
	s.part("precedence", (*suite).carPrecedence)
}

// archive asks for an archive in both ways that there are, and for these blocks in it.
func (s *suite) archive(path, query string, wants ...want) {
	s.Helper()
	wants = append([]want{status(200), is("X-Content-Type-Options", "nosniff"), is("Accept-Ranges", "none"),
		holds("Content-Type", "application/vnd.ipld.car"), matches("Content-Disposition", `attachment; filename=".*\.car"`)}, wants...)
	s.expect("GET /ipfs/"+path+"?"+strings.TrimSuffix("format=car&"+query, "&"), nil, wants...)
	s.expect("GET /ipfs/"+path+"?"+query, accepting("application/vnd.ipld.car"), wants...)
}

func (s *suite) carPaths() {
	s.archive(fixTwoFiles+"/subdir/ascii.txt", "", archived(fixTwoFiles, s.cid(fixTwoFiles, "subdir"), s.cid(fixTwoFiles, "subdir", "ascii.txt")))
	s.archive(fixSharded+"/685.txt", "", archived(chained(fixSharded, s.shards(fixSharded, "685.txt"),
		s.cid(fixSharded, "685.txt"), s.below(fixSharded, "685.txt"))...))
	document := s.cid(fixDocument, "document")
	s.archive(document+"/files/single", "", archived(document, s.cid(fixTwoFiles, "subdir", "hello.txt")))
}

func (s *suite) carScopes() {
	two, mixed := s.cid(fixTwoFiles, "subdir"), s.cid(fixMixedFiles, "subdir")
	multi, leaves := s.cid(fixMixedFiles, "subdir", "multiblock.txt"), s.below(fixMixedFiles, "subdir", "multiblock.txt")

	s.archive(fixTwoFiles+"/subdir", "dag-scope=block", archived(fixTwoFiles, two))
	s.archive(fixTwoFiles+"/subdir/ascii.txt", "dag-scope=block", archived(fixTwoFiles, two, s.cid(fixTwoFiles, "subdir", "ascii.txt")))
	s.archive(fixSharded+"/1.txt", "dag-scope=block", archived(chained(fixSharded, s.shards(fixSharded, "1.txt"), s.cid(fixSharded, "1.txt"))...))

	s.archive(fixTwoFiles, "dag-scope=entity", archived(fixTwoFiles))
	s.archive(fixSharded, "dag-scope=entity", archived(chained(fixSharded, s.shards(fixSharded, ""))...))
	s.archive(fixMixedFiles+"/subdir/ascii.txt", "dag-scope=entity", archived(fixMixedFiles, mixed, s.cid(fixMixedFiles, "subdir", "ascii.txt")))
	s.archive(fixMixedFiles+"/subdir/multiblock.txt", "dag-scope=entity", archived(chained(fixMixedFiles, mixed, multi, leaves)...))
	s.archive(fixDocument+"/document", "dag-scope=entity", archived(fixDocument, s.cid(fixDocument, "document")))

	s.archive(fixMixedFiles+"/subdir", "dag-scope=all", archived(chained(fixMixedFiles, mixed, s.below(fixMixedFiles, "subdir"))...))
	s.archive(fixMixedFiles+"/subdir/multiblock.txt", "dag-scope=all", archived(chained(fixMixedFiles, mixed, multi, leaves)...))
}

// carBytes asks for ranges of a file of four blocks of 256 bytes and one of two.
func (s *suite) carBytes() {
	first, third := "QmPKt7ptM2ZYSGPUc8PmPT2VBkLDK3iqpG9TBJY7PCE9rF", "QmWXY482zQdwecnfBsj78poUUuPXvyw2JAFAEMw4tzTavV"
	v0 := s.node(fixMissingV1).Links()[0].Cid.String()
	if v0 != first {
		s.Fatalf("the file without its second block begins with %s", v0)
	}
	torn := cid.NewCidV0(s.node(fixMissingV1).Cid().Hash()).String()
	s.archive(torn, "dag-scope=entity&entity-bytes=0:1000", archivedSomehow(torn, first))
	s.archive(torn, "dag-scope=entity&entity-bytes=2200:*", archivedSomehow(torn, third))

	mixed := s.cid(fixMixedFiles, "subdir")
	multi, leaves := s.cid(fixMixedFiles, "subdir", "multiblock.txt"), s.below(fixMixedFiles, "subdir", "multiblock.txt")
	s.archive(fixMixedFiles+"/subdir/multiblock.txt", "dag-scope=entity&entity-bytes=0:*", archived(chained(fixMixedFiles, mixed, multi, leaves)...))
	s.archive(fixSharded, "dag-scope=entity&entity-bytes=0:*", archived(chained(fixSharded, s.shards(fixSharded, ""))...))
	for _, c := range []struct {
		bytes    string
		from, to int // of the leaves
	}{
		{"512:*", 2, 5}, {"512:1023", 2, 4}, {"512:-256", 2, 4}, {"-5:*", 3, 5}, {"-9999:*", 0, 5}, {"-9999:-3", 0, 4}, {"0:0", 0, 1},
	} {
		s.archive(multi, "dag-scope=entity&entity-bytes="+c.bytes, archived(chained(multi, leaves[c.from:c.to])...))
	}
}

func (s *suite) carDuplicates() {
	root := "GET /ipfs/" + fixDuplicates
	ascii, hello := s.cid(fixDuplicates, "ascii.txt"), s.cid(fixDuplicates, "hello.txt")
	multi, leaves := s.cid(fixDuplicates, "multiblock.txt"), s.below(fixDuplicates, "multiblock.txt")
	twice := archived(chained(fixDuplicates, ascii, ascii, hello, multi, leaves)...)
	once := archived(chained(fixDuplicates, ascii, hello, multi, leaves)...)
	dups := func(order, d string) want {
		return all(status(200), holds("Content-Type", "application/vnd.ipld.car"), holds("Content-Type", "order="+order), holds("Content-Type", d))
	}
	s.expect(root, accepting("application/vnd.ipld.car; version=1; order=dfs; dups=y"), dups("dfs", "dups=y"), twice)
	s.expect(root, accepting("application/vnd.ipld.car; version=1; order=dfs; dups=n"), dups("dfs", "dups=n"), once)
	s.expect(root, accepting("application/vnd.ipld.car; version=1; order=unk"), dups("", "order="), archivedSomehow(chained(fixDuplicates, ascii, hello, multi, leaves)...))
	s.expect("GET /ipfs/"+cidHelloLong, accepting("application/vnd.ipld.car; dups=y"), dups("", "dups=y"), archived())
	s.expect(root+"?format=car", accepting("application/vnd.ipld.car; version=1; order=dfs; dups=y"), dups("dfs", "dups=y"), twice)
	s.expect(root+"?format=car&car-order=dfs", accepting("application/vnd.ipld.car; order=unk"), dups("dfs", "order=dfs"))
	s.expect(root+"?format=car&car-dups=y", accepting("application/vnd.ipld.car; dups=n"), dups("", "dups=y"), twice)
}

// carPrecedence: the query says more than the Accept header.
func (s *suite) carPrecedence() {
	dir := "GET /ipfs/" + s.cid(fixRawBlock, "dir")
	s.expect(dir+"?format=car", accepting("application/vnd.ipld.raw"), status(200), holds("Content-Type", "application/vnd.ipld.car"))
	s.expect(dir+"?format=raw", accepting("application/vnd.ipld.car"), status(200), is("Content-Type", "application/vnd.ipld.raw"))
}
