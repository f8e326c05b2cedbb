package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/perdure/perdure/client"
)

// Store a stream, and read a range of it back.
func ExampleClient_OpenFile() {
	ctx := context.Background()
	var key []byte // of the account that pays
	c, err := client.Open(client.Options{Home: ".perdure", Node: "http://127.0.0.1:26660", Key: key})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	stored, err := c.PutReader(ctx, strings.NewReader("some content"), client.PutOptions{Copies: 2})
	if err != nil {
		log.Fatal(err)
	}
	root, err := client.ParseRoot(stored.Root)
	if err != nil {
		log.Fatal(err)
	}
	file, err := c.OpenFile(ctx, root, client.GetOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, 5, 7))
	fmt.Printf("%s %v\n", text, err)
}
