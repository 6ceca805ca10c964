//! Writes CIFAR's Python version: pickles as Python 2 wrote the official ones.

/// A batch: the key of its labels, the labels, and 3072 pixels for each.
pub fn batch(labels_key: &str, labels: &[u8], pixels: &[u8]) -> Vec<u8> {
    let short = |text: &str| [&[b'U', text.len() as u8][..], text.as_bytes()].concat();
    let n_images = labels.len() as u16;
    [
        b"\x80\x02}q\x01(".to_vec(),
        short("batch_label"),
        b"q\x02".to_vec(),
        short("training batch 1 of 5"),
        b"q\x03".to_vec(),
        short(labels_key),
        b"q\x04]q\x05(".to_vec(),
        labels.iter().flat_map(|&label| [b'K', label]).collect(),
        b"e".to_vec(),
        short("data"),
        b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87Rq\n(K\x01M".to_vec(),
        n_images.to_le_bytes().to_vec(),
        b"M\x00\x0c\x86cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            .to_vec(),
        (pixels.len() as u32).to_le_bytes().to_vec(),
        pixels.to_vec(),
        b"tb".to_vec(),
        short("filenames"),
        b"q\r]q\x0e(".to_vec(),
        labels.iter().flat_map(|_| short("cat_s_1.png")).collect(),
        b"eu.".to_vec(),
    ]
    .concat()
}

/// The file of class names.
pub fn names(key: &str, names: &[String]) -> Vec<u8> {
    let short = |text: &str| [&[b'U', text.len() as u8][..], text.as_bytes()].concat();
    let names = names.iter().flat_map(|name| short(name)).collect();
    [b"\x80\x02}q\x01(".to_vec(), short(key), b"q\x02]q\x03(".to_vec(), names, b"eu.".to_vec()].concat()
}
