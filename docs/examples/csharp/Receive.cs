// Takes what suki-receiver's `http` sink delivers, and keeps each event once, as a file. Its own library only.
//
//     mkdir -m 0700 events && printf 'a secret of your own' > sink-secret
//     dotnet run Receive.cs -- sink-secret events 9000    # .NET 10; before that, in a project: dotnet new console
//
// The sink has the same secret: url = "http://127.0.0.1:9000/", secret = { file = "sink-secret" }. An event is taken
// with 204 once it is on disk; another process works on the files. Notes are patient data: where the receiver is on
// another machine, put something in front that ends TLS.

using System;
using System.IO;
using System.Net;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading.Tasks;

public static class Receive
{
    // How far a delivery's timestamp may be from now.
    const long ToleranceS = 5 * 60;
    // A 413 is final for the receiver, so leave room for the longest note.
    const int MaxBodyBytes = 64 * 1024 * 1024;

    public static void Main(string[] args)
    {
        byte[] key = SigningKey(File.ReadAllText(args[0]).Trim());
        var listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + args[2] + "/");
        listener.Start();
        Console.WriteLine("listening on 127.0.0.1:" + args[2]);
        while (true)
        {
            HttpListenerContext context = listener.GetContext();
            Task.Run(() => Handle(context, key, args[1]));
        }
    }

    // The key of a secret: after `whsec_` base64, else the text as it is.
    static byte[] SigningKey(string text)
    {
        if (text.Length == 0) throw new ArgumentException("The secret is empty.");
        return text.StartsWith("whsec_", StringComparison.Ordinal)
            ? Convert.FromBase64String(text.Substring(6))
            : Encoding.UTF8.GetBytes(text);
    }

    static void Handle(HttpListenerContext context, byte[] key, string folder)
    {
        try
        {
            context.Response.StatusCode = Answer(context.Request, key, folder);
            context.Response.Close();
        }
        catch (Exception)
        {
            context.Response.Abort(); // The sender broke off.
        }
    }

    // The status to answer with.
    static int Answer(HttpListenerRequest request, byte[] key, string folder)
    {
        if (request.HttpMethod != "POST") return 405;
        if (request.ContentLength64 < 0) return 411;
        if (request.ContentLength64 > MaxBodyBytes) return 413;
        var read = new MemoryStream();
        request.InputStream.CopyTo(read);
        byte[] body = read.ToArray();
        string id = request.Headers["webhook-id"] ?? "";
        string timestamp = request.Headers["webhook-timestamp"] ?? "";
        string signatures = request.Headers["webhook-signature"] ?? "";
        if (!IsAuthentic(key, id, timestamp, signatures, body)) return 401;
        // It becomes the name of a file.
        if (!Regex.IsMatch(id, @"\A[0-9a-f-]{36}\z")) return 400;
        try
        {
            Console.WriteLine((Keep(folder, id, body) ? "kept: " : "kept before: ") + id);
            return 204;
        }
        catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
        {
            Console.WriteLine("not kept: " + id + ": " + error.GetType().Name);
            return 503; // The receiver tries again.
        }
    }

    // Standard Webhooks: HMAC-SHA256 of id.timestamp.body. During a rotation there are several signatures.
    static bool IsAuthentic(byte[] key, string id, string timestamp, string signatures, byte[] body)
    {
        if (!Regex.IsMatch(timestamp, @"\A[0-9]{1,12}\z")) return false;
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        if (Math.Abs(now - long.Parse(timestamp)) > ToleranceS) return false;
        byte[] head = Encoding.UTF8.GetBytes(id + "." + timestamp + ".");
        var signed = new byte[head.Length + body.Length];
        head.CopyTo(signed, 0);
        body.CopyTo(signed, head.Length);
        byte[] expected;
        using (var mac = new HMACSHA256(key))
            expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(mac.ComputeHash(signed)));
        foreach (string one in signatures.Split(' '))
            // In constant time, so that no signature can be guessed byte by byte.
            if (CryptographicOperations.FixedTimeEquals(expected, Encoding.UTF8.GetBytes(one))) return true;
        return false;
    }

    // Keeps an event on disk, whole or not at all; false where it was kept before.
    static bool Keep(string folder, string id, byte[] body)
    {
        string path = Path.Combine(folder, id + ".json");
        bool isNew = !File.Exists(path);
        if (isNew)
        {
            string partial = Path.Combine(folder, Guid.NewGuid() + ".part");
            try
            {
                using (var file = new FileStream(partial, FileMode.CreateNew))
                {
                    file.Write(body, 0, body.Length);
                    file.Flush(flushToDisk: true);
                }
                File.Move(partial, path);
            }
            catch (IOException)
            {
                // A full disk must not get fuller with every attempt. And another may have been quicker.
                if (File.Exists(partial)) File.Delete(partial);
                if (!File.Exists(path)) throw;
                isNew = false;
            }
        }
        // Also for a repetition: the first time may have been cut short between the renaming and this.
        SyncFolder(folder);
        return isNew;
    }

    // .NET has no call for it, and Windows needs none.
    static void SyncFolder(string folder)
    {
        if (RuntimeInformation.IsOSPlatform(OSPlatform.Windows)) return;
        int descriptor = open(folder, 0);
        if (descriptor < 0) throw new IOException("The folder cannot be opened.");
        int failed = fsync(descriptor);
        close(descriptor);
        if (failed != 0) throw new IOException("The folder cannot be synced.");
    }

    [DllImport("libc")] static extern int open(string path, int flags);
    [DllImport("libc")] static extern int fsync(int descriptor);
    [DllImport("libc")] static extern int close(int descriptor);
}
