// Command stream stores what it reads from standard input, and reads a range of
// it back, from whoever stores it:
//
//	PERDURE_NODE=http://127.0.0.1:26660 PERDURE_KEY=hex stream < FILE
package main

import (
	"context"
	"encoding/hex"
	"io"
	"log"
	"os"

	"github.com/perdure/perdure/client"
)

func main() {
	key, err := hex.DecodeString(os.Getenv("PERDURE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Open(client.Options{Home: ".perdure", Node: os.Getenv("PERDURE_NODE"), Key: key})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := storeAndRead(context.Background(), c, os.Stdin, os.Stdout); err != nil {
		log.Print(err)
	}
}

// storeAndRead stores a stream, encrypted, in two copies, and writes 100 bytes from
// offset 1000 on to dst. Only the blocks that hold them are fetched, and paid.
func storeAndRead(ctx context.Context, c *client.Client, src io.Reader, dst io.Writer) error {
	stored, err := c.PutReader(ctx, src, client.PutOptions{Copies: 2})
	if err != nil {
		return err
	}
	root, err := client.ParseRoot(stored.Root)
	if err != nil {
		return err
	}
	file, err := c.OpenFile(ctx, root, client.GetOptions{})
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(dst, io.NewSectionReader(file, 1000, 100))
	return err
}
